"""The steps from an empty canvas to a training scene.

style -> canvas -> ground (woods, water, villages) -> division (estates, fields) -> plots (pivots,
merged and rounded fields) -> zones (parts) -> crops (colour) -> camera (what a sensor makes of it)
-> truth (labels at the image's resolution).
"""
