"""What `extract.jsonl` asks for: the facts of one business document, as pydantic models.

`Extraction` is the root. Names, descriptions and docstrings become the JSON schema the model is held to, so
they are written for the model that reads them.

Two rules keep the schema usable in OpenAI's strict mode: every object lists its fields and forbids others,
and what a document may leave out is null or an empty list.
"""

from datetime import date
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field


class Kind(StrEnum):
    """What the document is for, whatever its subject line says."""

    INVOICE = "invoice"
    ORDER = "order"
    DELIVERY_NOTE = "delivery_note"
    SUPPORT_TICKET = "support_ticket"
    MEETING_NOTES = "meeting_notes"
    RECEIPT = "receipt"


class Language(StrEnum):
    """The language most of the document is written in (zh: simplified and traditional Chinese)."""

    ENGLISH = "en"
    GERMAN = "de"
    CHINESE = "zh"
    OTHER = "other"


class Urgency(StrEnum):
    """How soon a ticket wants an answer: critical means work stands still or somebody is in danger."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    CRITICAL = "critical"


Currency = Annotated[str, Field(pattern="^[A-Z]{3}$", description="ISO 4217 code: EUR for €, CNY for 元 or RMB, TWD for NT$.")]
Number = Annotated[float, Field(allow_inf_nan=False)]
Text = Annotated[str, Field(min_length=1)]


def maybe(description: str) -> Any:
    """A field that is null where the document says nothing."""
    return Field(default=None, description=description)


def several(description: str) -> Any:
    """A list that is empty where the document says nothing."""
    return Field(default_factory=list, description=description)


class Facts(BaseModel):
    """The common ground: an answer with a key nobody asked for is a wrong answer."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)


class Money(Facts):
    """An amount as the document prints it. Discounts, refunds and deposits returned are negative."""

    amount: Number = Field(description="A plain number: 1.234,50 and 1'234.50 are both 1234.5.")
    currency: Currency


class Party(Facts):
    """A company, office or person the document comes from or goes to."""

    name: Text = Field(description="The name as written, with its legal form.")
    contact: str | None = maybe("The person named as contact, without title.")
    email: str | None = maybe("E-mail address.")
    address: str | None = maybe("Postal address on one line.")
    tax_id: str | None = maybe("VAT number, USt-IdNr. or 税号, as written.")


class LineItem(Facts):
    """One line of goods or services."""

    description: Text = Field(description="What it is, without quantity and price.")
    sku: str | None = maybe("Article or part number.")
    quantity: Number = Field(gt=0, description="What came, if less than ordered; 1 where none is written.")
    unit: str | None = maybe("Unit as written: pcs, Stk, kg, h, 箱.")
    unit_price: Money | None = maybe("Price of one unit.")
    total: Money | None = maybe("Price of the whole line, only if printed.")


class ActionItem(Facts):
    """Something somebody has to do after a meeting."""

    task: Text = Field(description="The task, starting with a verb.")
    owner: str | None = maybe("Who does it; null if nobody was named.")
    due: date | None = maybe("The day it is due, if a day can be told.")


class Extraction(Facts):
    """The facts of one document. What it does not say is null or an empty list: nothing is guessed."""

    kind: Kind
    language: Language
    document_number: str | None = maybe("The document's own number, not a customer's.")
    references: list[Text] = several("Other numbers it names: order, customer, ticket.")

    issuer: Party | None = maybe("Seller, sender, shop; the customer who wrote an order.")
    recipient: Party | None = maybe("Buyer, addressee; the supplier an order goes to.")
    participants: list[Text] = several("Who was at a meeting, apologies left out.")

    issue_date: date | None = maybe("When it was written; null if the year is unknown.")
    due_date: date | None = maybe("Pay by, deliver by or answer by, if a date is given.")

    line_items: list[LineItem] = several("Every line, in order; on a delivery note only what came.")
    net_total: Money | None = maybe("Sum before tax, only if printed.")
    tax_total: Money | None = maybe("Sum of all taxes, only if printed.")
    grand_total: Money | None = maybe("What is to be paid in the end, only if printed.")

    urgency: Urgency | None = maybe("Support tickets only.")
    action_items: list[ActionItem] = several("Meeting notes only.")

    doubts: list[Text] = several("What is unreadable, contradictory or plainly wrong, one sentence each.")
    summary: str = Field(min_length=10, max_length=300, description="One sentence in the document's language: who wants what.")
