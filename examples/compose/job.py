"""A batch job as any may be, but that it asks nobody: it waits as long as a model would take, and makes up an answer."""

import random
import time

import reporter


class Overloaded(Exception):
    """The model would not answer."""


def summarise(number: int) -> None:
    with reporter.call("summarise", provider="openai", model="gpt-4o-mini") as c:
        time.sleep(min(5.0, random.lognormvariate(-1.5, 0.8)))
        if random.random() < 0.01:
            raise Overloaded
        c.usage({"usage": {"prompt_tokens": 400 + number, "completion_tokens": random.randint(20, 200)}})


@reporter.job("sample")
def main() -> None:
    for number in range(20):
        try:
            summarise(number)
        except Overloaded:
            continue


if __name__ == "__main__":
    main()
