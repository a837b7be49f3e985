"""Several trainings or evaluations for one result."""
