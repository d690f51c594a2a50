"""What a notebook's cells need around the lesson: lab, plots, widgets, machine."""
