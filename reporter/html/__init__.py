"""The page of `reporter html`: one file that needs nothing else, without scripts.

markup     elements and attributes, every value escaped
words      numbers as people read them
history    what the page shows beyond the report: the past of SLOs, days, runs, calls that stand out
charts     inline SVG
sections   what the page is made of
page       all of it, with its style and its policy
"""
