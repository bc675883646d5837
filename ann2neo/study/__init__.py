"""The paper's study: data sets, networks, conditions, runs, hypotheses."""
