"""The season of a field: its profile over the year, and whether it holds two of them.

Two crops in one outline, or one crop sown on two days, show as two groups of profiles that lie
side by side. What varies inside any field (soil, seed rows, patches) has no gap between the
groups or is scattered. Thresholds are set on made-up fields of known truth.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Optional, Tuple

import numpy as np
from scipy import ndimage
from scipy.cluster.vq import kmeans2

from .curves import median_profile
from .gapfill import UNLIMITED, extend, fill_gaps
from .profiles import Profiles

_BAND = (10.0, 90.0)
_SEEN = 0.75
_FEWEST_DATES = 4
_MOST_CLUSTERED = 4000
_ROUNDS = 30

@dataclass(frozen=True)
class FieldSeason:
    dates: Tuple[dt.date, ...]
    median: np.ndarray
    low: np.ndarray
    high: np.ndarray
    valid_share: np.ndarray


def measure(profiles, rows, cols, seen=_SEEN, smooth=False, rim=1, norm=False):
    row0, col0 = rows.min()-1, cols.min()-1
    r, c = rows-row0, cols-col0
    mask = np.zeros((r.max()+2, c.max()+2), bool); mask[r, c] = True
    core = ndimage.binary_erosion(mask, iterations=rim)
    core_px = core[r, c]
    if core_px.sum() < 24: return None
    share = profiles.valid[core_px].mean(axis=0)
    used = share >= seen
    if used.sum() < _FEWEST_DATES: return None
    filled, available, _ = fill_gaps(profiles.values, profiles.valid, profiles.days, UNLIMITED)
    filled, available = filled[:, used], available[:, used]
    enough = profiles.valid[:, used].mean(axis=1) >= 0.5
    x = extend(filled, available)
    good = core_px & enough
    if good.sum() < 24: return None
    y = x[good].astype(np.float64)
    if smooth and y.shape[1] >= 5:
        y = ndimage.median_filter(y, size=(1,3), mode='nearest')
    if smooth == 2:
        pass
    z = y - y.mean(0)
    _, s, vt = np.linalg.svd(z, full_matrices=False) if len(z) < 4000 else np.linalg.svd(z[::len(z)//4000+1], full_matrices=False)
    first = z @ vt[0] > 0
    if first.all() or not first.any(): return None
    cen = np.stack([y[~first].mean(0), y[first].mean(0)])
    import warnings
    cen, lab = kmeans2(y, cen, iter=_ROUNDS, minit='matrix')
    lab = lab.astype(bool)
    if lab.mean() > .5: lab = ~lab
    if not lab.any(): return None
    m1, m0 = median_profile(y[lab]), median_profile(y[~lab])
    d = m1-m0
    dist = np.abs(d).mean()
    p = (y-(m1+m0)/2) @ d / (d@d)   # -0.5 .. 0.5
    s1 = np.std(p[lab]); s0 = np.std(p[~lab])
    ash = 1/np.sqrt((s1**2+s0**2)/2)
    def mad(v): return 1.4826*np.median(np.abs(v-np.median(v)))
    ashr = 1/np.sqrt((mad(p[lab])**2+mad(p[~lab])**2)/2+1e-9)
    between = np.mean(np.abs(p) < .15)  # share in the middle
    within = sum(((y[k]-y[k].mean(0))**2).sum() for k in (lab, ~lab))
    expl = 1-within/(z**2).sum()
    # spatial
    grid = np.full(mask.shape, -1); grid[r[good], c[good]] = lab
    one = ndimage.convolve((grid==1).astype(float), np.ones((3,3))); zero = ndimage.convolve((grid==0).astype(float), np.ones((3,3)))
    maj = one > zero
    tie = one == zero; maj[tie] = grid[tie]==1
    known = grid>=0
    agree = np.mean(maj[known] == (grid[known]==1))
    big=[]
    for part in (maj&known, ~maj&known):
        l,n = ndimage.label(part); big.append(np.bincount(l.ravel())[1:].max()/max(part.sum(),1) if n else 0)
    # edge step: mean projection by distance to the boundary
    P = np.full(mask.shape, np.nan); P[r[good], c[good]] = p
    a = maj&known; b = ~maj&known
    if not a.any() or not b.any(): return None
    da = ndimage.distance_transform_edt(~b); db = ndimage.distance_transform_edt(~a)
    na = a & (da>=2)&(da<=4); nb = b & (db>=2)&(db<=4)
    step = (np.nanmedian(P[na]) if na.any() else np.nan) - (np.nanmedian(P[nb]) if nb.any() else np.nan)
    # shape: correlation after removing amplitude?
    sign = abs(d.sum())/np.abs(d).sum()
    dr = np.sqrt((d**2).mean())
    half = np.sort(np.abs(d))[::-1][:max(1,len(d)//3)].mean()
    return dict(n=len(rows), core=int(good.sum()), used=int(used.sum()), share=lab.mean(), dist=dist, rms=dr, top=half, ash=ash, ashr=ashr, mid=between, expl=expl, agree=agree, big0=big[0], big1=big[1], step=step, sign=sign, maj=maj[r,c], good=good)
