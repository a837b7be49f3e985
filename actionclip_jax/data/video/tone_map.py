"""HDR pictures (PQ, HLG) as an SDR display would show them."""

import functools

import numpy as np
from numpy import typing as npt

PQ, HLG = 16, 18  # transfer characteristics as ITU-T H.273, and so FFmpeg, numbers them
PEAK = 1000.0  # cd/m2: of the display HDR is graded for, BT.2100's reference for HLG
WHITE = 203.0  # cd/m2: HDR reference white, which becomes SDR's white (ITU-R BT.2408)
BT709, P3 = 1, 12  # primaries, numbered likewise; all others are taken for BT.2020's, which HDR has
# linear light of BT.2020's primaries -> BT.709's (ITU-R BT.2087, inverted), and of Display P3 (SMPTE EG 432-1)
TO_BT709 = ((1.660491, -0.587641, -0.072850), (-0.124550, 1.132900, -0.008349), (-0.018151, -0.100579, 1.118730))
P3_TO_BT709 = ((1.224940, -0.224940, 0.0), (-0.042057, 1.042057, 0.0), (-0.019638, -0.078636, 1.098274))
LUMA = (0.2627, 0.6780, 0.0593)  # BT.2020
M1, M2 = 2610 / 16384, 2523 / 4096 * 128  # PQ: SMPTE ST 2084
C1, C2, C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32


def to_sdr(image: np.ndarray, transfer: int, primaries: int) -> np.ndarray:
    """[H, W, 3] uint16 R'G'B' of BT.2100 -> [H, W, 3] uint8 of BT.709.

    Light of the display by BT.2100's PQ EOTF, or HLG's inverse OETF and OOTF; highlights rolled off by the EETF of
    ITU-R BT.2390 on R, G and B; BT.709's primaries; the inverse of BT.1886's display gamma of 2.4.
    """
    if transfer == PQ:
        light = _pq_rolled_off()[image]
    else:
        scene = _hlg_scene_light()[image]
        light = scene * np.maximum(scene @ np.array(LUMA, np.float32), 1e-6)[..., None] ** np.float32(0.2)  # of PEAK
        light = _rolled_off_roots()[np.rint(np.sqrt(light) * 65535).astype(np.uint16)]
    if primaries != BT709:
        light = light @ np.array(P3_TO_BT709 if primaries == P3 else TO_BT709, np.float32).T
    return _gamma()[np.rint(np.clip(light, 0, 1) * 65535).astype(np.uint16)]


def pq_to_light(signal: npt.ArrayLike) -> np.ndarray:
    """PQ's EOTF: 0..1 -> cd/m2."""
    power = np.asarray(signal, np.float64) ** (1 / M2)
    return 10_000 * (np.maximum(power - C1, 0) / (C2 - C3 * power)) ** (1 / M1)


def light_to_pq(light: npt.ArrayLike) -> np.ndarray:
    """Its inverse: cd/m2 -> 0..1."""
    power = (np.asarray(light, np.float64) / 10_000) ** M1
    return ((C1 + C2 * power) / (1 + C3 * power)) ** M2


def roll_off(light: np.ndarray) -> np.ndarray:
    """BT.2390's EETF: cd/m2 of a display of `PEAK` -> of one of `WHITE`, unchanged below the knee."""
    peak = light_to_pq(PEAK)
    signal, white = np.minimum(light_to_pq(light) / peak, 1), light_to_pq(WHITE) / peak
    knee = 1.5 * white - 0.5
    t = (signal - knee) / (1 - knee)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (-2 * t**3 + 3 * t**2) * white
    return pq_to_light(np.where(signal < knee, signal, spline) * peak)


@functools.cache
def _pq_rolled_off() -> np.ndarray:
    """[65536] float32: a PQ value -> light where white is 1."""
    return (roll_off(pq_to_light(np.arange(65536) / 65535)) / WHITE).astype(np.float32)


@functools.cache
def _rolled_off_roots() -> np.ndarray:
    """[65536] float32: the root of light, as a part of PEAK -> light where white is 1."""
    return (roll_off(PEAK * (np.arange(65536) / 65535) ** 2) / WHITE).astype(np.float32)


@functools.cache
def _hlg_scene_light() -> np.ndarray:
    """[65536] float32: HLG's inverse OETF, 0..1."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    signal = np.arange(65536) / 65535
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12).astype(np.float32)


@functools.cache
def _gamma() -> np.ndarray:
    """[65536] uint8: linear light -> the signal a display of gamma 2.4 needs."""
    return np.rint((np.arange(65536) / 65535) ** (1 / 2.4) * 255).astype(np.uint8)
