"""The study: representations x architectures at equal budgets; see `study.py`.

plan -> cell (trained and measured in a process of its own) -> results -> plots
"""
