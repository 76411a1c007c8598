from typing import Literal

from pydantic import BaseModel, Field


class Item(BaseModel):
    name: str
    quantity: float = Field(ge=0)
    unit_price: float | None = None


class Invoice(BaseModel):
    supplier: str
    number: str | None = None
    currency: Literal["EUR", "GBP", "USD", "CNY"]
    total: float | None = Field(description="gross, as printed; null if there is none")
    items: list[Item]
