from typing import Literal

from pydantic import BaseModel


class Ticket(BaseModel):
    team: Literal["billing", "access", "product", "shipping", "privacy"]
    urgent: bool
