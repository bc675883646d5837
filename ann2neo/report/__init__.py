"""Tables, figures and pages: the only place that imports matplotlib."""
