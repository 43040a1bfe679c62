import numpy as np
import pytest
import soundfile

from benchsep._util.decode import decode, duration

RATE = 44_100


def encode(path, samples, codec, options=None):
    """Write ``samples [2, n]`` with FFmpeg."""
    import av

    with av.open(str(path), "w", options=options or {}) as out:
        stream = out.add_stream(codec, rate=RATE, layout="stereo")
        stream.bit_rate = 128_000
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="stereo")
        frame.sample_rate = RATE
        context = stream.codec_context
        context.open()
        convert = av.AudioResampler(context.format.name, "stereo", RATE, context.frame_size)
        for part in [*convert.resample(frame), *convert.resample(None)]:
            for packet in stream.encode(part):
                out.mux(packet)
        for packet in stream.encode(None):
            out.mux(packet)


@pytest.fixture
def music():
    t = np.arange(4 * RATE) / RATE
    tones = [0.2 * np.sin(2 * np.pi * f * t) * np.exp(-(t % 0.5)) for f in (220, 330)]
    return np.stack(tones).astype(np.float32)


def is_the_music(samples, music):
    """Whether the decoded samples are the music after some encoder delay."""
    lag = int(np.argmax(np.correlate(samples[0, : RATE + 4000], music[0, :RATE], "valid")))
    decoded = samples[0, lag : lag + music.shape[1]]
    error = decoded - music[0, : decoded.size]
    return 10 * np.log10((music[0] ** 2).mean() / (error**2).mean()) > 15


@pytest.mark.parametrize("options", [{}, {"write_xing": "0"}], ids=["xing", "no xing"])
def test_an_mp3_is_read_to_its_end_with_and_without_a_header_of_its_length(
    tmp_path, music, options
):
    encode(tmp_path / "x.mp3", music, "libmp3lame", options)
    samples, rate = decode(tmp_path / "x.mp3")
    assert rate == RATE and samples.dtype == np.float32
    assert 0 <= samples.shape[1] - music.shape[1] < 4000
    assert is_the_music(samples, music)
    assert duration(tmp_path / "x.mp3") == pytest.approx(4, abs=0.1)


@pytest.mark.parametrize("name", ["x.m4a", "x.stem.mp4"])
def test_aac_in_mp4_is_read(tmp_path, music, name):
    encode(tmp_path / name, music, "aac")
    samples, _ = decode(tmp_path / name)
    assert abs(samples.shape[1] - music.shape[1]) < 4000
    assert is_the_music(samples, music)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_a_wav_that_was_cut_is_refused(tmp_path, music, subtype):
    soundfile.write(tmp_path / "x.wav", music.T, RATE, subtype=subtype)
    whole = (tmp_path / "x.wav").read_bytes()
    assert decode(tmp_path / "x.wav")[0].shape == music.shape
    (tmp_path / "x.wav").write_bytes(whole[: len(whole) // 2])
    for read in (decode, duration):
        with pytest.raises(ValueError, match="cut short"):
            read(tmp_path / "x.wav")


def test_a_wav_written_to_a_pipe_declares_no_length_and_is_read(tmp_path, music):
    soundfile.write(tmp_path / "x.wav", music.T, RATE, subtype="PCM_16")
    content = bytearray((tmp_path / "x.wav").read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = content[4:8] = b"\xff\xff\xff\xff"
    (tmp_path / "x.wav").write_bytes(content)
    assert decode(tmp_path / "x.wav")[0].shape == music.shape


def test_an_mp3_that_was_cut_and_knows_its_length_is_refused(tmp_path, music):
    encode(tmp_path / "x.mp3", music, "libmp3lame")
    whole = (tmp_path / "x.mp3").read_bytes()
    (tmp_path / "x.mp3").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="cut short"):
        decode(tmp_path / "x.mp3")
