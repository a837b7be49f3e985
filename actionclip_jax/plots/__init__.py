"""Pictures of results: charts of numbers, and sheets of frames beside what a model said of them."""
