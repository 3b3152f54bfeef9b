"""Simulates people, their lungs by GLI Global 2022, and the sound of three forced blows of each."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.random import Generator

from distill.probes.spirometry.blow_sound import Phone, Place, Room, blow_sound
from distill.probes.spirometry.forced_expiration import Lung, expiratory_flow
from distill.probes.spirometry.gli_2022 import gli_reference
from distill.probes.synthetic_cohorts import N_RECORDINGS, SyntheticRecording

BLOW_SPREAD = 0.03  # of one person's blows, as a fraction
PEF_PER_FEV1 = (2.0, 2.6)  # per second: GLI has no reference for PEF
OBSTRUCTION_Z = (-4.0, 1.0)  # of FEV1/FVC
MAX_RATIO = 0.95


def draw_person(generator: Generator) -> tuple[dict[str, str], Lung]:
    """Age, sex and height of an adult as a table has them, and a lung from healthy to severely obstructed."""
    sex, age_years = "FM"[generator.integers(2)], round(float(generator.uniform(18, 80)), 1)
    height_cm = round(float(generator.normal(176 if sex == "M" else 163, 7)), 1)
    person = (sex, age_years, height_cm)
    fvc_l = gli_reference("fvc_l", *person).value_at(generator.normal(0, 0.8))
    ratio = min(MAX_RATIO, gli_reference("fev1_fvc", *person).value_at(generator.uniform(*OBSTRUCTION_Z)))
    lung = Lung(fvc_l * ratio, fvc_l, fvc_l * ratio * generator.uniform(*PEF_PER_FEV1))
    return {"age_years": str(age_years), "sex": sex, "height_cm": str(height_cm)}, lung


def simulated_blows(n_subjects: int, seed: int = 0, places_differ: bool = False) -> Iterator[SyntheticRecording]:
    """Yield three blows of each person; the label is FEV1, and ``fvc_l`` and ``pef_l_per_s`` stand beside it.

    Every person has a room of their own. With ``places_differ`` distance, lips and phone differ as well, so that
    loudness does not tell the flow.
    """
    for subject in range(n_subjects):
        generator = np.random.default_rng([seed, 3, subject])
        covariates, lung = draw_person(generator)
        room = Room(generator.uniform(20, 60), generator.uniform(0.25, 0.6), generator.uniform(28, 36))
        place = _other_place(Place(room=room), generator) if places_differ else Place(room=room)
        values = {"fvc_l": f"{lung.fvc_l:.3f}", "pef_l_per_s": f"{lung.pef_l_per_s:.3f}"}
        flow = expiratory_flow(lung)
        for _ in range(N_RECORDINGS):
            effort = 1 - abs(generator.normal(0, BLOW_SPREAD))  # nobody blows more than they can
            waveform = blow_sound(effort * flow, place, generator)
            name = f"simulated-lung-{subject:03d}"
            yield SyntheticRecording(name, round(lung.fev1_l, 3), {**covariates, **values}, waveform)


def _other_place(place: Place, generator: Generator) -> Place:
    phone = Phone(dbfs_at_pascal=generator.uniform(-24, -6))
    return replace(place, lips_m=generator.uniform(0.012, 0.018), distance_m=generator.uniform(0.15, 0.6), phone=phone)
