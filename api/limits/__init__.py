"""How often, and how much: what keeps one caller from taking the service from all others.

request → gate (who, which class) → windows (how often in the last minute) → 429 with Retry-After, or on
guess   → throttle (how many wrong ones, from where) → attempts (how long to wait) → 429, or on

`rates` names the classes and their settings; `addresses` tells whom an address belongs to. With `VALKEY_URL` windows
and attempts are shared by all servers; without it each process keeps its own. While Valkey is away requests are let
through (`limits_unchecked_total` counts them) and guesses are not (503 with Retry-After).
"""
