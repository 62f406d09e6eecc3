"""Simulated data with known truth, marked as simulated wherever it goes: a city's traffic and a region's weather."""

from fieldcast.data.catalog.simulate.city import simulate_city, simulated_city
from fieldcast.data.catalog.simulate.truth import Hub, Incident, Outage, Simulation, Truth, WeatherTruth
from fieldcast.data.catalog.simulate.weather import simulate_weather, simulated_weather

__all__ = [
    "Hub", "Incident", "Outage", "Simulation", "Truth", "WeatherTruth", "simulate_city", "simulate_weather",
    "simulated_city", "simulated_weather",
]  # fmt: skip
