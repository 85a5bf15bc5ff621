"""`reporter demo`: the whole way from a call to a gateway, on real parts, in a directory of its own.

server     a language model on loopback, as OpenAI-compatible ones look from outside
worker     a batch job that calls it; several processes run it
history    thirty days of a small company's calls, as JSON Lines
questions  what people ask of their calls, in SQL
processes  what the demo starts, and ends
story      one step after the other
"""
