"""The study: compares representations x architectures at equal budgets; see `study.py`.

plan -> cell (trained and measured in a separate process) -> results -> plots
"""
