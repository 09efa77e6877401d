use super::*;

fn lineup() -> Lineup {
    Lineup::new(100)
}

/// All that is due.
fn out(lineup: &mut Lineup, now: Instant) -> Vec<u8> {
    let mut bytes = Vec::new();
    while lineup.put(now, &mut bytes) != Put::Nothing {}
    bytes
}

#[test]
fn messages_are_cut_into_fragments() {
    let now = Instant::now();
    for (size, expected) in [
        (1, &b"\x01\x01h\x00\x01e\x80\x01y\x82\x00"[..]),
        (2, b"\x01\x02he\x80\x01y\x82\x00"),
        (3, b"\x81\x03hey\x82\x00"),
        (9, b"\x81\x03hey\x82\x00"),
    ] {
        let mut lineup = lineup();
        lineup.fragment(size);
        lineup.text("hey");
        lineup.echo(now, Opcode::Binary, b"");
        assert_eq!(out(&mut lineup, now), expected, "{size}");
        assert!(lineup.is_empty());
        assert_eq!(lineup.answered(), 1);
    }
}

#[test]
fn a_burst_is_numbered_however_it_is_cut() {
    let mut expected = Vec::new();
    for number in 0..3_u8 {
        expected.extend(b"\x02\x05\0\0\0\0\0\x80\x05\0\0");
        expected.extend([number, 0, 0]);
    }
    let mut lineup = lineup();
    lineup.fragment(5);
    let (messages, size) = (3, 10);
    lineup.burst(Burst { messages, size });
    assert_eq!(out(&mut lineup, Instant::now()), expected);
}

#[test]
fn a_large_message_comes_in_pieces() {
    let mut lineup = lineup();
    let (messages, size) = (1, 3 * PIECE);
    lineup.burst(Burst { messages, size });
    let mut bytes = Vec::new();
    for piece in 0..3 {
        let expected = match piece {
            2 => Put::Message(Opcode::Binary, size as usize),
            _ => Put::Piece,
        };
        assert_eq!(lineup.put(Instant::now(), &mut bytes), expected);
        assert_eq!(lineup.is_mid_frame(), piece < 2);
    }
    assert_eq!(bytes.len() as u64, 4 + size);
    assert!(lineup.is_empty());
}

#[test]
fn a_frame_goes_between_messages() {
    let now = Instant::now();
    let mut lineup = lineup();
    lineup.fragment(1);
    lineup.echo(now, Opcode::Text, b"ab");
    let mut bytes = Vec::new();
    lineup.put(now, &mut bytes);
    lineup.frame(b"frame".to_vec());
    assert!(!lineup.is_mid_frame());
    bytes.extend(out(&mut lineup, now));
    assert_eq!(bytes, b"\x01\x01a\x80\x01bframe");
}

#[test]
fn echoes_are_late_and_in_order() {
    let (least, most) = (Duration::from_millis(50), Duration::from_millis(200));
    let start = Instant::now();
    let mut lineup = lineup();
    lineup.delay(least, most);
    for n in 0..20 {
        lineup.echo(start, Opcode::Binary, &[n]);
    }
    assert!(lineup.next_due() >= Some(start + least));
    lineup.text("at once");
    assert_eq!(out(&mut lineup, start), b"\x81\x07at once");
    assert_eq!(lineup.answered(), 0);
    let expected: Vec<_> = (0..20).flat_map(|n| [0x82, 1, n]).collect();
    assert_eq!(out(&mut lineup, start + most), expected);
    assert_eq!(lineup.answered(), 20);
}

#[test]
fn what_waits_is_bounded() {
    let now = Instant::now();
    let mut lineup = lineup();
    (0..MAX_WAITING).for_each(|_| lineup.echo(now, Opcode::Text, b""));
    assert!(!lineup.has_room());
    out(&mut lineup, now);
    assert!(lineup.has_room());
    lineup.echo(now, Opcode::Text, &[b' '; 100]);
    assert!(!lineup.has_room());
    out(&mut lineup, now);
    assert!(lineup.has_room());
}
