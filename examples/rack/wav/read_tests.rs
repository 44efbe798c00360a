//! WAV files as other programs write them.

use super::*;

fn chunk(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut bytes = name.to_vec();
    bytes.extend((body.len() as u32).to_le_bytes());
    bytes.extend(body);
    bytes.resize(bytes.len().next_multiple_of(2), 0);
    bytes
}

fn fmt(tag: u16, channels: u16, rate: u32, bits: u16) -> Vec<u8> {
    let frame = channels * bits / 8;
    let mut body = [tag.to_le_bytes(), channels.to_le_bytes()].concat();
    body.extend(rate.to_le_bytes());
    body.extend((rate * u32::from(frame)).to_le_bytes());
    body.extend([frame.to_le_bytes(), bits.to_le_bytes()].concat());
    body
}

fn data(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|s| s.to_le_bytes()).collect()
}

fn riff(chunks: &[Vec<u8>]) -> Vec<u8> {
    chunk(b"RIFF", &[b"WAVE".to_vec(), chunks.concat()].concat())
}

/// A file with one channel at the rack's sample rate, whose size fields `change` may overwrite.
fn mono(samples: &[i16], change: impl FnOnce(&mut Vec<u8>)) -> Result<Clip, WavError> {
    let fmt = chunk(b"fmt ", &fmt(1, 1, RATE, 16));
    let mut file = riff(&[fmt, chunk(b"data", &data(samples))]);
    change(&mut file);
    Clip::read(&file[..])
}

fn refusal(file: &[u8]) -> String {
    Clip::read(file).unwrap_err().to_string()
}

#[test]
fn mono_is_doubled_and_of_many_channels_the_first_two_are_played() {
    let clip = mono(&[1, -2], |_| {}).unwrap();
    assert_eq!(clip.frames, [[1, 1], [-2, -2]]);
    let fmt = chunk(b"fmt ", &fmt(1, 3, RATE, 16));
    let file = riff(&[fmt, chunk(b"data", &data(&[1, 2, 3, 4, 5, 6]))]);
    assert_eq!(Clip::read(&file[..]).unwrap().frames, [[1, 2], [4, 5]]);
}

#[test]
fn unknown_chunks_of_odd_length_and_longer_descriptions_are_passed_over() {
    let mut long = fmt(1, 2, RATE, 16);
    long.extend([0, 0, 7]);
    let file = riff(&[
        chunk(b"LIST", b"odd"),
        chunk(b"fmt ", &long),
        chunk(b"fact", &[0; 12]),
        chunk(b"data", &data(&[3, 4])),
        chunk(b"LIST", b"after"),
    ]);
    assert_eq!(Clip::read(&file[..]).unwrap().frames, [[3, 4]]);
}

#[test]
fn the_extensible_format_is_read_where_it_is_pcm() {
    let extensible = |tag: u16, bits: u16| {
        let mut body = fmt(EXTENSIBLE, 2, RATE, bits);
        body.extend([22, 0, 16, 0, 3, 0, 0, 0]);
        body.extend(tag.to_le_bytes());
        body.extend(SUBFORMAT);
        riff(&[chunk(b"fmt ", &body), chunk(b"data", &[0; 8])])
    };
    assert_eq!(
        Clip::read(&extensible(PCM, 16)[..]).unwrap().frames.len(),
        2
    );
    assert!(refusal(&extensible(3, 32)).ends_with("this is 32-bit floating point"));
    assert!(refusal(&extensible(PCM, 24)).ends_with("this is 24-bit PCM"));
}

#[test]
fn a_file_that_was_cut_off_plays_as_far_as_it_goes() {
    let clip = mono(&[1, 2, 3], |file| file.truncate(file.len() - 3)).unwrap();
    assert_eq!(clip.frames, [[1, 1]]);
}

#[test]
fn a_file_from_a_pipe_does_not_know_its_length() {
    for size in [[0; 4], [0xFF; 4]] {
        let spoil = |file: &mut Vec<u8>| {
            file[4..8].copy_from_slice(&size);
            file[40..44].copy_from_slice(&size);
        };
        assert_eq!(mono(&[1, 2], spoil).unwrap().frames.len(), 2);
    }
}

#[test]
fn an_empty_file_is_empty_even_if_chunks_follow() {
    assert!(matches!(mono(&[], |_| {}), Err(WavError::Empty)));
    let fmt = chunk(b"fmt ", &fmt(1, 1, RATE, 16));
    let file = riff(&[fmt, chunk(b"data", &[]), chunk(b"LIST", b"text")]);
    assert_eq!(refusal(&file), "holds no audio");
}

#[test]
fn everything_else_is_refused_with_the_reason() {
    let body = chunk(b"data", &[0; 8]);
    let with = |fmt: &[u8]| refusal(&riff(&[chunk(b"fmt ", fmt), body.clone()]));
    assert!(refusal(b"").starts_with("not a WAV file"));
    assert!(refusal(b"ID3 and some more of an MP3").starts_with("not a WAV file"));
    assert!(refusal(&riff(std::slice::from_ref(&body))).ends_with("no `fmt ` chunk"));
    assert!(refusal(&riff(&[chunk(b"fmt ", &fmt(1, 1, RATE, 16))])).ends_with("no `data` chunk"));
    assert!(with(&fmt(1, 2, RATE, 24)).ends_with("this is 24-bit PCM"));
    assert!(with(&fmt(1, 1, RATE, 8)).ends_with("this is 8-bit PCM"));
    assert!(with(&fmt(3, 2, RATE, 32)).ends_with("this is 32-bit floating point"));
    assert!(with(&fmt(0x55, 2, RATE, 16)).ends_with("this is format 0x0055"));
    assert!(with(&fmt(1, 0, RATE, 16)).contains("contradicts itself"));
    assert!(with(&fmt(1, 1, 0, 16)).contains("contradicts itself"));
    assert!(with(&fmt(1, 1, RATE, 16)[..10]).contains("too short"));
}

#[test]
fn a_header_cut_off_anywhere_is_an_error_and_never_a_panic() {
    let fmt = chunk(b"fmt ", &fmt(1, 1, RATE, 16));
    let file = riff(&[fmt, chunk(b"data", &data(&[1]))]);
    for length in 0..file.len() {
        assert!(Clip::read(&file[..length]).is_err(), "{length}");
    }
}

#[test]
fn other_rates_are_drawn_with_straight_lines() {
    let frames = vec![[0, 0], [16_384, -16_384], [0, 0]];
    let clip = Clip {
        rate: RATE / 2,
        frames,
    };
    assert_eq!(clip.len(), 6);
    let block = clip.block(0);
    assert_eq!(block.left[..7], [0.0, 0.25, 0.5, 0.25, 0.0, 0.0, 0.0]);
    assert_eq!(block.right[1], -0.25);
    assert_eq!(clip.block(1), Block::SILENCE);
    assert_eq!(clip.block(u64::MAX), Block::SILENCE);
}

#[test]
fn a_longer_recording_keeps_its_length_at_any_rate() {
    for rate in [1, 8_000, 44_100, RATE, 96_000, 192_000, u32::MAX] {
        let clip = Clip {
            rate,
            frames: vec![[1, 1]; 1_000],
        };
        let exact = 1_000.0 * f64::from(RATE) / f64::from(rate);
        assert_eq!(clip.len(), exact.ceil() as u64, "{rate}");
    }
}
