"""What users are told: one line, however long or odd what it speaks of is."""

LONGEST = 1000
BEGINNING = 700


def plain(text: str) -> str:
    """Give a text as one line of letters that any terminal shows, the middle left out where it is very long."""
    words = " ".join(text.split())
    shown = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in words)
    return shown if len(shown) <= LONGEST else f"{shown[:BEGINNING]} ... {shown[-(LONGEST - BEGINNING - 5) :]}"
