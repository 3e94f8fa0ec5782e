"""``echo-probe load``: many round trips, and what they tell without fooling anybody."""
