"""Synthetic orders: the same number and seed give the same order, in canonical form.

Names, addresses and cards are made up from short lists; mail goes to the reserved domain example.com.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from random import Random
from typing import Any

from sandbox.ubl import as_ubl

__all__ = ["as_json", "as_ubl", "sample_order"]

CHANNELS = ("e-commerce", "e-commerce", "e-commerce", "kiosk", "phone")
GIFT_CARD_SHARE = 0.12
TAX_ID_SHARE = 0.3
_FIRST_DAY = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Market:
    """Where orders come from; `rate` turns US dollars into the currency, `tax` is the share added."""

    country: str
    currency: str
    rate: Decimal
    step: Decimal
    tax: Decimal
    dial: str
    cities: tuple[tuple[str, str, str], ...]
    streets: tuple[str, ...]


_CENT = Decimal("0.01")
_WHOLE = Decimal(1)
_MARKETS = (
    _Market(
        "CL", "CLP", Decimal(940), _WHOLE, Decimal("0.19"), "+56 9",
        (("Santiago", "8320000", "Metropolitana"), ("Valparaíso", "2340000", "Valparaíso"),
         ("Concepción", "4030000", "Biobío")),
        ("Avenida Providencia", "Calle Ñuble", "Los Leones", "Gran Avenida"),
    ),
    _Market(
        "PE", "PEN", Decimal("3.75"), _CENT, Decimal("0.18"), "+51 9",
        (("Lima", "15001", "Lima"), ("Arequipa", "04001", "Arequipa"), ("Trujillo", "13001", "La Libertad")),
        ("Avenida Arequipa", "Jirón de la Unión", "Calle Berlín"),
    ),
    _Market(
        "CO", "COP", Decimal(4100), _WHOLE, Decimal("0.19"), "+57 3",
        (("Bogotá", "110111", "Cundinamarca"), ("Medellín", "050001", "Antioquia"),
         ("Cali", "760001", "Valle del Cauca")),
        ("Carrera 7", "Calle 72", "Avenida El Dorado"),
    ),
    _Market(
        "AR", "ARS", Decimal(1350), _CENT, Decimal("0.21"), "+54 9",
        (("Buenos Aires", "C1043", "Buenos Aires"), ("Córdoba", "X5000", "Córdoba")),
        ("Avenida Corrientes", "Calle Florida"),
    ),
    _Market(
        "SE", "SEK", Decimal("10.50"), _CENT, Decimal("0.25"), "+46 7",
        (("Stockholm", "11122", "Stockholms län"), ("Göteborg", "41103", "Västra Götaland"),
         ("Malmö", "21119", "Skåne")),
        ("Rådhusgatan", "Kungsgatan", "Östra Hamngatan"),
    ),
    _Market(
        "US", "USD", Decimal(1), _CENT, Decimal("0.07"), "+1 305 55",
        (("Miami", "33101", "Florida"), ("Austin", "78701", "Texas")),
        ("Main Street", "Ocean Drive"),
    ),
)  # fmt: skip
_MARKET_WEIGHTS = (40, 20, 18, 8, 9, 5)

_FIRST_NAMES = (
    "Ana",
    "Bruno",
    "Carla",
    "Diego",
    "Elsa",
    "Felipe",
    "Inés",
    "Jorge",
    "Karin",
    "Lucía",
    "Óscar",
    "Tomás",
)
_LAST_NAMES = (
    "Araya",
    "Bergström",
    "Castro",
    "Díaz",
    "Fuentes",
    "Lindgren",
    "Muñoz",
    "Quispe",
    "Rojas",
    "Vega",
)
_ASCII = str.maketrans("áéíóúñöåÓÁÉÍÚ", "aeiounoaOAEIU")
# sku, name, description, unit (UN/ECE recommendation 20), price in US dollars
_ARTICLES = (
    ("PNT-RED-10", "Falu red paint 10 l", "Exterior paint, matt", "EA", "64.90"),
    ("BRU-020", "Brush 20 mm", "Natural bristle", "EA", "4.50"),
    ("DRL-18V", "Cordless drill 18 V", "With two batteries & charger", "EA", "129.00"),
    ("LED-E27-9", "LED bulb E27 9 W", "2700 K, pack of <4>", "PK", "11.90"),
    ("CBL-2.5", "Cable 2.5 mm²", "By the metre", "MTR", "1.35"),
    ("TIL-WHT", "White wall tile", "20 × 20 cm", "MTK", "17.80"),
    ("CHR-OAK", "Oak chair", None, "EA", "89.00"),
    ("TBL-OAK", "Oak table \"Ñandú\"", "180 × 90 cm", "EA", "389.00"),
    ("LMP-DSK", "Desk lamp", None, "EA", "39.90"),
    ("SCR-450", "Screws 4 × 50", "Box of 200", "BX", "8.20"),
    ("GRL-GAS", "Gas grill", "Three burners", "EA", "249.00"),
    ("SOI-050", "Potting soil", None, "LTR", "0.45"),
)  # fmt: skip
_BY_MEASURE = {"MTR", "MTK", "LTR"}


def sample_order(
    number: str,
    seed: int,
    *,
    placed_at: datetime | None = None,
    with_email: bool = True,
    with_address: bool = True,
) -> dict[str, Any]:
    """Make an order in canonical form, ready for JSON: amounts and quantities are texts.

    Without `placed_at` (an aware time in UTC) its day follows from the seed too.
    """
    random = Random(f"{seed}/{number}")
    market = random.choices(_MARKETS, weights=_MARKET_WEIGHTS)[0]
    placed = placed_at or _FIRST_DAY + timedelta(minutes=random.randrange(300 * 24 * 60))
    lines = [_line(random, market, str(position)) for position in range(1, random.randint(1, 6) + 1)]
    totals = _totals(random, market, lines)
    customer = _customer(random, market, with_email=with_email)
    return {
        "number": number,
        "placed_at": placed.replace(microsecond=0).isoformat().replace("+00:00", "Z"),
        "channel": random.choice(CHANNELS),
        "store": f"{market.country}-{random.randint(1, 40):03d}",
        "country": market.country,
        "currency": market.currency,
        "customer": customer,
        "delivery": _delivery(random, market, placed, customer["name"], with_address=with_address),
        "lines": lines,
        "totals": totals,
        "gift_cards": _gift_cards(random, market, Decimal(totals["payable"])),
        "note": random.choice((None, None, None, "Leave at the front desk", "Llamar antes de entregar")),
    }


def as_json(order: dict[str, Any]) -> bytes:
    """Write an order as a canonical JSON document."""
    return json.dumps(order, ensure_ascii=False).encode()


def _line(random: Random, market: _Market, position: str) -> dict[str, Any]:
    sku, name, description, unit, dollars = random.choice(_ARTICLES)
    quantity = Decimal(random.randint(1, 5))
    if unit in _BY_MEASURE:
        quantity = Decimal(random.randint(10, 400)) / 10
    price = _money(Decimal(dollars) * market.rate, market)
    amount = _money(price * quantity, market)
    return {
        "id": position,
        "sku": sku,
        "name": name,
        "description": description,
        "quantity": str(quantity),
        "unit": unit,
        "unit_price": str(price),
        "amount": str(amount),
        "tax": str(_money(amount * market.tax, market)),
    }


def _totals(random: Random, market: _Market, lines: list[dict[str, Any]]) -> dict[str, str]:
    amount = sum((Decimal(line["amount"]) for line in lines), Decimal(0))
    tax = sum((Decimal(line["tax"]) for line in lines), Decimal(0))
    allowances = _money(amount * random.choice((Decimal(0), Decimal(0), Decimal("0.1"))), market)
    charges = _money(market.rate * random.choice((0, 5, 9)), market)
    return {
        "lines": str(amount),
        "allowances": str(allowances),
        "charges": str(charges),
        "tax": str(tax),
        "payable": str(amount - allowances + charges + tax),
    }


def _gift_cards(random: Random, market: _Market, payable: Decimal) -> list[dict[str, str]]:
    if random.random() >= GIFT_CARD_SHARE:
        return []
    # The last group is never 0000, which the stand-in takes for an empty card.
    card = f"6006{random.randrange(10**8):08d}{random.randint(1, 9999):04d}"
    share = random.choice((Decimal("0.25"), Decimal("0.5"), Decimal(1)))
    return [{"number": card, "amount": str(_money(payable * share, market))}]


def _customer(random: Random, market: _Market, *, with_email: bool) -> dict[str, Any]:
    first, last = random.choice(_FIRST_NAMES), random.choice(_LAST_NAMES)
    email = f"{first}.{last}.{random.randrange(10_000)}@example.com".translate(_ASCII).lower()
    return {
        "name": f"{first} {last}",
        "email": email if with_email else None,
        "phone": f"{market.dial}{random.randrange(10**7):07d}",
        "tax_id": _tax_id(random, market.country) if random.random() < TAX_ID_SHARE else None,
    }


def _delivery(
    random: Random, market: _Market, placed: datetime, name: str, *, with_address: bool
) -> dict[str, Any]:
    city, postal_code, region = random.choice(market.cities)
    first_day = placed.date() + timedelta(days=random.randint(1, 5))
    address = {
        "street": random.choice(market.streets),
        "number": str(random.randint(1, 4999)),
        "city": city,
        "postal_code": postal_code,
        "region": region,
        "country": market.country,
    }
    return {
        "contact_name": name,
        "address": address if with_address else None,
        "requested_from": first_day.isoformat(),
        "requested_until": (first_day + timedelta(days=random.randint(0, 4))).isoformat(),
    }


def _tax_id(random: Random, country: str) -> str:
    digits = random.randint(5_000_000, 25_000_000)
    return f"{digits}-{_rut_check_digit(digits)}" if country == "CL" else f"{country}{digits}01"


def _rut_check_digit(digits: int) -> str:
    """Compute the check digit of a Chilean RUT (modulo 11)."""
    weighted = sum(int(digit) * (2 + place % 6) for place, digit in enumerate(reversed(str(digits))))
    return "0123456789K"[-weighted % 11]


def _money(amount: Decimal, market: _Market) -> Decimal:
    return amount.quantize(market.step, ROUND_HALF_UP)
