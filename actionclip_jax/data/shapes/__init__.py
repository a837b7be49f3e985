"""The embedded sample data set: videos of moving shapes, drawn here."""
