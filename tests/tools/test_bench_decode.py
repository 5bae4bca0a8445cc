from helpers.recordings import draw_moment, write_recording
from helpers.tools import load_tool


def test_both_decode_the_same_frames(tmp_path, capsys):
    images = [draw_moment(moment, 320, 240) for moment in range(8)]
    path = write_recording(tmp_path / "a.mp4", images)
    load_tool("bench_decode").main([str(path), "--rounds", "1"])
    answer = capsys.readouterr().out
    assert answer.startswith("a.mp4: clock ")
    assert answer.strip().endswith("8 frames, largest difference 0")
