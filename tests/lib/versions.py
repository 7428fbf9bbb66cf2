"""versions.py save FILE ROUNDS | versions.py look FILE: one saves a version after the other, the other finds each whole.

The saver says the number of a version when its close() has returned; from then on whoever looks must find that version, or a
later one, whole (P1, P2, P4). In between the looker reads all the time. A version is its number, over and over."""
import sys
import threading


def content(number):
    return (b"%09d\n" % number) * (20000 + number % 7 * 3000)


def number_of(data):
    """The number of a whole version; None when it is none."""
    number = int(data[:10]) if data[:10].strip().isdigit() else None
    return number if number is not None and data == content(number) else None


def save(path, rounds):
    for number in range(1, rounds + 1):
        with open(path, "wb", buffering=0) as file:
            data = content(number)
            for at in range(0, len(data), 30000):
                file.write(data[at:at + 30000])
        print(number, flush=True)


def look(path):
    state = {"wrong": 0, "looks": 0, "over": False}

    def check(at_least):
        try:
            with open(path, "rb") as file:
                data = file.read()
        except FileNotFoundError:
            data = None
        number = 0 if data is None else number_of(data)
        state["looks"] += 1
        if number is None or number < at_least:
            state["wrong"] += 1
            print(f"version {at_least} was closed; found {number}, {data and len(data)} bytes")

    def stare():
        while not state["over"]:
            check(0)

    thread = threading.Thread(target=stare)
    thread.start()
    last = 0
    for line in sys.stdin:
        last = int(line)
        check(last)
    state["over"] = True
    thread.join()
    print(f"{last} versions, {state['looks']} looks, {state['wrong']} wrong")
    return 1 if state["wrong"] or last == 0 else 0


if __name__ == "__main__":
    if sys.argv[1] == "save":
        save(sys.argv[2], int(sys.argv[3]))
    else:
        sys.exit(look(sys.argv[2]))
