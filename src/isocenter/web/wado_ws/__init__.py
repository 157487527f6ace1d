"""WADO-WS: retrieval by SOAP messages (PS3.18-2017a 6.4), for clients made before PS3.18 retired it in 2017b."""
