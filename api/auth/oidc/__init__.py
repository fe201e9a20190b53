"""Log-in with the school's account (OpenID Connect: authorization code, PKCE, nonce, state).

routes → service (whose account it is) → provider (the issuer's words, checked) ; flow (what the browser keeps).
"""
