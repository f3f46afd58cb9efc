"""Alerts: what a person should know at once, sent by webhook and e-mail.

Nothing here can hold up or harm a session: alerts are put into a bounded queue and sent by a thread
of their own.
"""
