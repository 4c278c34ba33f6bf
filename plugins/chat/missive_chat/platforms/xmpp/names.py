"""The namespaces that are met in stanzas, by the numbers of their specifications."""

from __future__ import annotations

CLIENT = "{jabber:client}"
DELAY = "{urn:xmpp:delay}delay"  # XEP-0203
STANZA_ID = "{urn:xmpp:sid:0}stanza-id"  # XEP-0359
ORIGIN_ID = "{urn:xmpp:sid:0}origin-id"
REPLACE = "{urn:xmpp:message-correct:0}replace"  # XEP-0308
REPLY = "{urn:xmpp:reply:0}reply"  # XEP-0461
FALLBACK = "{urn:xmpp:fallback:0}fallback"  # XEP-0428
FALLBACK_BODY = "{urn:xmpp:fallback:0}body"
OOB = "{jabber:x:oob}x"  # XEP-0066
OOB_URL = "{jabber:x:oob}url"
RESULT = "{urn:xmpp:mam:2}result"  # XEP-0313
MAM = "urn:xmpp:mam:2"
FORWARDED = "{urn:xmpp:forward:0}forwarded"  # XEP-0297
COPIES = (RESULT, "{urn:xmpp:carbons:2}received", "{urn:xmpp:carbons:2}sent")  # XEP-0280
MUC_USER = "{http://jabber.org/protocol/muc#user}x"  # XEP-0045
MUC_ITEM = "{http://jabber.org/protocol/muc#user}item"
ENCRYPTED = ("{eu.siacs.conversations.axolotl}encrypted", "{urn:xmpp:omemo:2}encrypted")  # XEP-0384
STATES = "http://jabber.org/protocol/chatstates"  # XEP-0085
UPLOAD = "urn:xmpp:http:upload:0"  # XEP-0363
