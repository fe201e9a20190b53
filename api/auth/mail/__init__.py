"""Mails: a letter is a row, written with what it is about → the postman makes its token and sends it → the row goes.

letters (rows) → templates (text) → carrier (SMTP, or files) ; postman (when, and again).
"""
