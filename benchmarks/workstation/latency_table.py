"""The only place that prints a latency result for a person."""

from rich.console import Console
from rich.table import Table

from benchmarks.results.result import Result, Row

COLUMNS = {"first": "first_run_ms", "p50": "p50_ms", "p90": "p90_ms", "p95": "p95_ms", "p99": "p99_ms", "max": "max_ms"}


def show(result: Result, console: Console) -> None:
    """Print a table for each number of threads and delegate, the ratios to peers, the models, and the machine."""
    rows, facts = result["rows"], result["facts"]
    for threads, delegate in dict.fromkeys((row["threads"], row["delegate"]) for row in rows if row["audio_s"]):
        its = [row for row in rows if (row["threads"], row["delegate"]) == (threads, delegate)]
        console.print(_table(f"{threads} thread(s), {delegate}, {its[0]['n_runs']} runs in turns, milliseconds", its))
    console.print(f"The headline is {facts['headline']}; RTF is the median time over the audio's.")
    for its in result.get("ratios", []):
        share = f"{its['value']:.3f} ({its['low']:.3f} to {its['high']:.3f})"
        what = f"{its['name']} ({its['threads']} thread(s), {its['delegate']})"
        console.print(f"{what} takes {share} of {its['to']}'s time per second of audio")
    for row in (row for row in rows if row["stage"] == "model"):
        console.print(f"{row['name']} ({row['threads']} thread(s), {row['delegate']}): {_model(row)}")
    _show_instrument(facts["instrument"], console)
    last = rows[-1]
    instructions = ", ".join(last["instructions"]) or "no telling instructions"
    console.print(f"{last['cpu']} ({instructions}), {last['os']}, {rows[0]['runtime']}, commit {last['commit']}")
    load = last["load_average"]
    console.print(f"load average {load['before']} before and {load['after']} after, {last['n_cores']} cores")


def _table(title: str, rows: list[Row]) -> Table:
    table = Table(title=title)
    table.add_column("what", overflow="fold")
    for column in (*COLUMNS, "RTF"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        metrics = row["metrics"]
        times = [f"{metrics[key]:.2f}" if metrics[key] >= 10 else f"{metrics[key]:.3f}" for key in COLUMNS.values()]
        table.add_row(f"{row['name']}, {row['stage']}, {row['audio_s']:g} s", *times, f"{metrics['rtf']:.5f}")
    return table


def _show_instrument(facts: list[dict], console: Console) -> None:
    for its in facts:
        run = f"{its['threads']} thread(s); at most {100 * its['max_share']:g} % is wanted"
        console.print(f"Measuring takes {100 * its['largest_share']:.2f} % of {its['of']}, its largest share ({run})")
        for what, share in its["too_short"].items():
            console.print(f"{what} is too short to be told apart: the stopwatch itself takes {100 * share:.1f} % of it")


def _model(row: Row) -> str:
    metrics = row["metrics"]
    loading = [f"{key.partition('_')[0]} {metrics[key]:.2f} ms" for key in ("load_ms", "allocate_ms") if key in metrics]
    said = [*loading, f"{metrics['model_bytes'] / 1e6:.2f} MB", f"sha256 {row['model_sha256'][:12]}"]
    if "macs" in metrics:
        weights, activations = (f"{metrics[key] / 1e6:.2f} MB" for key in ("weight_bytes", "activation_bytes"))
        said += [f"{metrics['macs'] / 1e6:.1f} million multiply-adds", f"{weights} of weights read"]
        said += [f"{activations} of activations moved", row["facts"]["partitions"]]
    return ", ".join(said)
