"""How many predictions may be paid for altogether, and how much they may cost by estimate."""

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from cometflux.account.prices import Prices, check_budget, read_prices, show_dollars, to_dollars
from cometflux.basics.plain_text import count_of
from cometflux.errors import ConfigError, InputError, LimitError
from cometflux.jobs import Job
from cometflux.journal.attempts import Estimate
from cometflux.journal.base import Opened
from cometflux.number_checks import check_count


class PurchaseLimit:
    """Counts the predictions that are, or may be, paid for, and what they cost by estimate.

    Args:
        max_predictions: how many there may be, those in the journal included; None for any number.
        max_cost: how many dollars they may cost by *prices*, those in the journal included; None for any amount.
        prices: dollars a request by model, or `Prices`; None for no prices.

    Raises:
        ConfigError: an argument is out of range.
    """

    def __init__(
        self,
        max_predictions: int | None = None,
        max_cost: float | Decimal | None = None,
        prices: Mapping[str, Any] | None = None,
    ) -> None:
        if max_predictions is not None:
            check_count("max_predictions", max_predictions, 0)
        self._most = max_predictions
        self._max_cost = None if max_cost is None else check_budget("max_cost", max_cost)
        self.has_budget = max_cost is not None
        """Whether there is a maximum cost, so that the journal's purchases must be counted."""
        if not isinstance(prices, Prices):
            prices = Prices({} if prices is None else read_prices("prices", prices))
        self._prices: Prices = prices
        self._reserved: dict[Any, int] = {}
        self._cost_reserved = 0
        self._has_changed = asyncio.Event()
        self.bought = 0
        """The number of predictions that are, or may be, paid for."""
        self._cost = 0
        """What they cost, in micros; 0 without a maximum."""

    def count(self, opened: Opened) -> None:
        """Count what the journal has already.

        Raises:
            ConfigError: there is a maximum cost, and a model of which predictions were made has no price.
        """
        self.bought = opened.bought
        if self._max_cost is not None:
            for model, given, times in opened.purchases:
                if (cost := self._prices.cost(model, given)) is None:
                    allowed = f"the journal has predictions of {model}, which has no price; give its price"
                    raise ConfigError(setting="max_cost", allowed=allowed)
                self._cost += cost * times

    async def reserve(self, place: object, job: Job) -> None:
        """Wait until one more submission fits, and keep its share under the name of *place* until `settle`.

        Raises:
            LimitError: a limit is used up.
            InputError: there is a maximum cost, and the model has no price.
        """
        cost: int | None = 0
        if self._max_cost is not None and (cost := self._prices.cost(job.model, job.input)) is None:
            raise InputError("model", job.model, "it has no price, and a maximum cost is set; give its price")
        assert cost is not None
        # A submission in flight may still fail and free its share, so wait for it to finish.
        while self._is_full(len(self._reserved), self._cost_reserved + cost):
            if self._is_full(0, cost):
                raise self._error(cost)
            self._has_changed.clear()
            await self._has_changed.wait()
        self._reserved[place] = cost
        self._cost_reserved += cost

    def settle(self, place: object, *, is_bought: bool) -> None:
        """Give back the share of *place*, if it has one; count it if it is, or may be, paid for."""
        cost = self._reserved.pop(place, None)
        if cost is None:
            return
        self._cost_reserved -= cost
        if is_bought:
            self.bought += 1
            self._cost += cost
        self._has_changed.set()

    def estimate(self, job: Job, times: int = 1) -> tuple[Decimal | None, str | None]:
        """Return what so many predictions of *job* cost in dollars, and the basis; None and None without a price."""
        once = self.estimate_once(job)
        return (None, None) if once is None else (to_dollars(once.micros * times), once.basis)

    def estimate_once(self, job: Job) -> Estimate | None:
        """Return what one prediction of *job* costs, as the journal keeps it; None without a price."""
        price = self._prices.get(job.model) if self._prices else None
        return None if price is None else Estimate(micros=price.of(job.input), basis=str(price.basis))

    def _is_full(self, count: int, cost: int) -> bool:
        """Whether the limits have no room for one prediction, beside *count* others that all together cost *cost*."""
        if self._most is not None and self.bought + count >= self._most:
            return True
        return self._max_cost is not None and self._cost + cost > self._max_cost

    def _error(self, cost: int) -> LimitError:
        if self._most is not None and self.bought >= self._most:
            reason = f"the limit of {count_of(self._most, 'prediction')} is reached"
            return LimitError(reason, setting="max_predictions")
        assert self._max_cost is not None
        spent, most, next_one = map(show_dollars, (self._cost, self._max_cost, cost))
        reason = f"by estimate {spent} is spent, and the prediction costs {next_one}"
        return LimitError(f"the next prediction would exceed the limit of {most}: {reason}", setting="max_cost")
