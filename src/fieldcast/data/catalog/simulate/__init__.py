"""Simulated data with known truth, marked as simulated wherever it goes: a city's traffic and a region's weather."""

from fieldcast.data.catalog.simulate.city import simulate_city, simulated_city
from fieldcast.data.catalog.simulate.truth import Hub, Incident, Outage, Simulation, Truth
from fieldcast.data.catalog.simulate.weather import simulated_weather

__all__ = ["Hub", "Incident", "Outage", "Simulation", "Truth", "simulate_city", "simulated_city", "simulated_weather"]
