"""Patients: which slides belong to which case, and one embedding a case."""
