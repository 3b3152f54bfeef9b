"""Defines what changes in a device while one measures: heat, charge and load."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DeviceCondition:
    """A device at one moment; None for what it does not say.

    Attributes
    ----------
    battery_c, processor_c : float or None
        Degrees Celsius.
    battery_percent : int or None
    is_charging : bool or None
    thermal_status : str or None
        Android's word for how much it slows itself down: "none" to "shutdown".
    load : float or None
        Processes that wanted to run over the last minute.
    """

    battery_c: float | None
    battery_percent: int | None
    is_charging: bool | None
    thermal_status: str | None
    load: float | None
    processor_c: float | None = None

    @property
    def warmest_c(self) -> float | None:
        """The processor's heat, else the battery's."""
        return self.battery_c if self.processor_c is None else self.processor_c
