"""Lung function from forced blows: reference equations, a simulator, acceptability and what sound adds."""
