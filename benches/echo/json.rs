//! JSON as servers have it: records of one shape, whose values differ.

use std::fmt::Write;

const NAMES: [&str; 8] = [
    "amelia", "björn", "chidi", "daria", "emeka", "farah", "goran", "hana",
];
const KINDS: [&str; 5] = ["order", "refund", "payment", "delivery", "review"];
const STATES: [&str; 4] = ["open", "confirmed", "on hold", "done"];
const WORDS: [&str; 16] = [
    "the", "customer", "asked", "for", "another", "colour", "and", "will", "call", "again", "on",
    "Monday", "about", "invoice", "please", "check",
];

/// An object of exactly `size` bytes. It depends on the number alone, and is no other number's.
pub fn message(size: usize, number: usize) -> String {
    let mut random = Random(number as u64);
    let mut json = String::from("{\"events\":[");
    loop {
        let event = event(&mut random);
        // Room for the note, and for what ends the object.
        let is_first = json.ends_with('[');
        if !is_first && json.len() + event.len() + 32 > size {
            break;
        }
        if !is_first {
            json.push(',');
        }
        json.push_str(&event);
    }
    json.push_str("],\"note\":\"");
    while json.len() + 2 < size {
        let word = random.of(&WORDS);
        json.extend(word.chars().chain([' ']).take(size - 2 - json.len()));
    }
    json.push_str("\"}");
    json
}

fn event(random: &mut Random) -> String {
    let mut event = String::new();
    let written = write!(
        event,
        r#"{{"id":{},"kind":"{}","user":"{}","at":{},"state":"{}","total":{}.{:02}}}"#,
        random.below(10_000_000),
        random.of(&KINDS),
        random.of(&NAMES),
        1_700_000_000_000 + random.below(100_000_000_000),
        random.of(&STATES),
        random.below(2_000),
        random.below(100),
    );
    written.expect("a string takes all");
    event
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn of(&mut self, choices: &[&'static str]) -> &'static str {
        choices[self.below(choices.len() as u64) as usize]
    }
}
