from typing import Literal

from pydantic import BaseModel


class Label(BaseModel):
    tone: Literal["good", "bad", "mixed"]
    about: Literal["delivery", "quality", "price", "other"]
