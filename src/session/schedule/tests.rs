use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn secs(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// A schedule that began at `start`, and waits for no slot.
fn schedule(start: Moment, phase: f64) -> Schedule {
    Schedule::new(&ServerConfig::default(), Slots::exact(), start, phase)
}

fn quiet_since(heard_at: Moment) -> Activity {
    Activity {
        heard_at,
        is_mid_message: false,
    }
}

/// Lets the timer fire until `end`, with the state that `line` gives, and lists what was due, and
/// when.
fn run(
    schedule: &mut Schedule,
    start: Moment,
    end: Duration,
    activity: impl Fn(Duration) -> Activity,
) -> Vec<(Due, f64)> {
    let config = ServerConfig::default();
    let mut happened = Vec::new();
    while schedule.next() <= start + end {
        let now = schedule.next();
        while let Some(due) = schedule.due(now, activity(now.since(start)), &config) {
            happened.push((due, (now.since(start)).as_secs_f64()));
            match due {
                Due::Beat => schedule.skip_beats(now, &config),
                Due::Ping => {}
                Due::Dead | Due::Stuck | Due::Leave => return happened,
            }
        }
        assert!(schedule.next() > now, "the timer would spin");
    }
    happened
}

#[test]
fn beats_keep_their_pace() {
    let start = Moment::now();
    let mut schedule = schedule(start, 0.0);
    let beats = run(&mut schedule, start, secs(12.0), |now| {
        quiet_since(start + now)
    });
    assert_eq!(beats, [3.0, 6.0, 9.0, 12.0].map(|at| (Due::Beat, at)));
}

#[test]
fn beats_that_are_due_after_a_late_one_are_skipped() {
    let start = Moment::now();
    let config = ServerConfig::default();
    let mut schedule = schedule(start, 0.0);
    for (sent, next) in [(3.004, 6.0), (8.9, 9.0), (20.5, 21.0), (30.0, 33.0)] {
        schedule.skip_beats(start + secs(sent), &config);
        assert_eq!(schedule.beat, Some(start + secs(next)), "sent at {sent} s");
    }
}

#[test]
fn sessions_that_begin_within_a_slot_beat_together_for_ever() {
    let config = ServerConfig {
        ping_interval: None,
        ..ServerConfig::default()
    };
    let slots = Slots::of(&config);
    let slot = secs(3.0) / 64;
    // The moment behind a slot.
    let origin = slots.next(Moment::now()) + Duration::from_nanos(1);
    let mut schedules: Vec<_> = (0..10)
        .map(|part| Schedule::new(&config, slots, origin + slot * part / 10, 0.0))
        .collect();
    let first = origin + (slot - Duration::from_nanos(1)) + secs(3.0);
    for beat in 0..1_000 {
        let due = first + secs(3.0) * beat;
        for schedule in &mut schedules {
            assert_eq!(schedule.beat, Some(due));
            // Late by less than one interval, and each by another time.
            schedule.skip_beats(due + slot * (beat % 64), &config);
        }
    }
}

#[test]
fn the_slots_are_a_sixty_fourth_of_an_interval_and_at_most_50_ms() {
    let ms = |ms| Some(Duration::from_millis(ms));
    for (heartbeat, ping_interval, expected) in [
        (ms(3_000), ms(25_000), 46_875),
        (ms(3_000), ms(640), 10_000),
        (ms(64), None, 1_000),
        (ms(10_000), ms(25_000), 50_000),
        (ms(3_600_000), None, 50_000),
        (None, ms(1_280), 20_000),
        (None, None, 50_000),
    ] {
        let config = ServerConfig {
            heartbeat,
            ping_interval,
            ..ServerConfig::default()
        };
        let slots = Slots::of(&config);
        let slot = slots.next(Moment::now());
        let next = slots.next(slot + Duration::from_nanos(1));
        let length = next.since(slot).as_micros();
        assert_eq!(length, expected, "{heartbeat:?}, {ping_interval:?}");
    }
}

#[test]
fn checks_wait_for_a_slot_and_a_drain_does_not() {
    let start = Moment::now();
    let config = ServerConfig {
        heartbeat: None,
        ..ServerConfig::default()
    };
    let slots = Slots::of(&config);
    let mut schedule = Schedule::new(&config, slots, start, 0.0);
    let check = slots.next(start + secs(12.5));
    assert_eq!(schedule.next(), check);
    let window = Window {
        start: start.into(),
        length: secs(20.0),
        spread: secs(12.5001),
    };
    schedule.leave(window, 0.5);
    assert_eq!(schedule.next(), start + secs(6.25005));
}

#[test]
fn silence_is_pinged_in_the_second_half_of_the_interval_and_then_given_up() {
    for (phase, ping) in [(0.0, 12.5), (0.5, 18.75), (1.0, 25.0)] {
        let start = Moment::now();
        let mut schedule = schedule(start, phase);
        schedule.beat = None;
        let happened = run(&mut schedule, start, HOUR, |_| quiet_since(start));
        assert_eq!(happened, [(Due::Ping, ping), (Due::Dead, ping + 10.0)]);
    }
}

#[test]
fn an_answered_ping_is_followed_by_one_for_every_interval_of_silence() {
    let start = Moment::now();
    let mut schedule = schedule(start, 0.0);
    schedule.beat = None;
    // The peer answers each Ping a second later, and sends nothing else.
    let pongs = [13.5, 39.5, 65.5];
    let happened = run(&mut schedule, start, secs(70.0), |now| {
        let last = pongs.into_iter().map(secs).rfind(|pong| *pong <= now);
        quiet_since(start + last.unwrap_or_default())
    });
    assert_eq!(happened, [12.5, 38.5, 64.5].map(|at| (Due::Ping, at)));
}

#[test]
fn an_interval_may_be_shorter_than_the_time_for_an_answer() {
    let start = Moment::now();
    let config = ServerConfig {
        ping_interval: Some(secs(1.0)),
        heartbeat: None,
        ..ServerConfig::default()
    };
    let mut schedule = Schedule::new(&config, Slots::exact(), start, 1.0);
    // The peer answers at once, except the fourth time.
    let mut heard_at = start;
    let mut happened = Vec::new();
    while happened.last().is_none_or(|(due, _)| *due == Due::Ping) {
        let now = schedule.next();
        if let Some(due) = schedule.due(now, quiet_since(heard_at), &config) {
            happened.push((due, (now.since(start)).as_secs()));
            heard_at = now.min(start + secs(3.0));
        }
    }
    let pings = [1, 2, 3, 4].map(|at| (Due::Ping, at));
    assert_eq!(happened, [&pings[..], &[(Due::Dead, 14)]].concat());
}

#[test]
fn a_ping_goes_out_with_the_last_heart_beat_before_it_is_due() {
    for (heartbeat, ping) in [(3.0, 12.0), (6.25, 12.5), (6.5, 12.5), (0.2, 12.4)] {
        let start = Moment::now();
        let config = ServerConfig {
            heartbeat: Some(secs(heartbeat)),
            ..ServerConfig::default()
        };
        let mut schedule = Schedule::new(&config, Slots::exact(), start, 0.0);
        let pinged = loop {
            let now = schedule.next();
            match schedule.due(now, quiet_since(start), &config) {
                Some(Due::Ping) => break now.since(start),
                Some(Due::Beat) => schedule.skip_beats(now, &config),
                _ => {}
            }
        };
        assert_eq!(pinged, secs(ping), "heart beats every {heartbeat} s");
    }
}

#[test]
fn a_ping_with_a_heart_beat_has_its_whole_time_for_an_answer() {
    let start = Moment::now();
    let mut schedule = schedule(start, 0.0);
    let happened = run(&mut schedule, start, HOUR, |_| quiet_since(start));
    let rare = |(due, _): &(Due, f64)| *due != Due::Beat;
    let happened: Vec<_> = happened.into_iter().filter(rare).collect();
    assert_eq!(happened, [(Due::Ping, 12.0), (Due::Dead, 22.0)]);
}

#[test]
fn who_talks_is_not_pinged() {
    let start = Moment::now();
    let mut schedule = schedule(start, 0.5);
    schedule.beat = None;
    let talks = |now: Duration| quiet_since(start + Duration::from_secs(now.as_secs() / 7 * 7));
    assert_eq!(run(&mut schedule, start, HOUR, talks), []);
}

#[test]
fn half_a_message_has_thirty_seconds_from_its_last_byte() {
    let start = Moment::now();
    let mut schedule = schedule(start, 0.0);
    schedule.beat = None;
    // No Ping is sent: in the middle of a frame none can be answered.
    let activity = |now| Activity {
        heard_at: start + secs(10.0).min(now),
        is_mid_message: now >= secs(10.0),
    };
    assert_eq!(
        run(&mut schedule, start, HOUR, activity),
        [(Due::Stuck, 40.0)]
    );
}

#[test]
fn a_message_that_is_half_there_when_a_ping_is_due_puts_it_off_by_one_interval() {
    let start = Moment::now();
    let mut schedule = schedule(start, 0.0);
    schedule.beat = None;
    // The rest of the message comes a second later, and then nothing more.
    let activity = |now: Duration| Activity {
        heard_at: start + secs(12.0) + secs(f64::from(now >= secs(13.0))),
        is_mid_message: now < secs(13.0),
    };
    let happened = run(&mut schedule, start, HOUR, activity);
    assert_eq!(happened, [(Due::Ping, 25.5), (Due::Dead, 35.5)]);
}

#[test]
fn a_session_leaves_at_its_share_of_the_window() {
    let start = Moment::now();
    let mut schedule = schedule(start, 0.0);
    let window = Window {
        start: (start + secs(1.0)).into(),
        length: secs(8.0),
        spread: secs(4.0),
    };
    schedule.leave(window, 0.25);
    let happened = run(&mut schedule, start, HOUR, |now| quiet_since(start + now));
    assert_eq!(happened, [(Due::Leave, 2.0)]);
}
