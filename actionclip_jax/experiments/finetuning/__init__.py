"""A model fine-tuned on somebody's own videos: from what is there to a plan, a run and a report."""
