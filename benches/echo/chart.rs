//! The chart: CPU times of all servers relative to echobeat's, as an SVG picture.

use crate::results::{CaseResults, Row};
use crate::servers::Role;

const WIDTH: f64 = 800.0;
const MARGIN: f64 = 16.0;
/// Where the bars begin, and how wide one is that costs as much as echobeat.
const LEFT: f64 = 200.0;
const UNIT: f64 = 130.0;
/// A longer bar is cut, for else the short ones could not be told from each other.
const LONGEST: f64 = 4.0;
const TOP: f64 = 92.0;
const BAR: f64 = 13.0;
const GAP: f64 = 16.0;
/// Height of a case's two lines of text.
const LABEL: f64 = 30.0;

/// Colours for light and for dark backgrounds, in the order of the servers. The floor is grey.
const COLOURS: [(&str, &str); 6] = [
    ("#3b6fb6", "#6ea3e8"),
    ("#2a9d8f", "#4cc9b8"),
    ("#d9822b", "#f0a95c"),
    ("#8e5bb5", "#b98be0"),
    ("#c2476b", "#ea7d9d"),
    ("#7a8b2a", "#b3c653"),
];
const FLOOR: (&str, &str) = ("#9aa0a6", "#8b9197");

/// The chart of all cases whose CPU times are known.
pub fn draw(results: &[CaseResults]) -> String {
    let mut body = String::new();
    let mut y = TOP;
    for case in results.iter().filter(|case| case.echobeat().is_some()) {
        body += &group(case, y);
        y += height(case) + GAP;
    }
    let servers: Vec<&Row> = results.first().map(others).into_iter().flatten().collect();
    let bottom = y - GAP / 2.0;
    let height = bottom + 40.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" role=\"img\" \
         aria-label=\"CPU time per message relative to echobeat\">\n\
         <style>\n{}</style>\n<rect class=\"paper\" width=\"100%\" height=\"100%\" rx=\"8\"/>\n\
         {}{}{}{body}</svg>\n",
        style(),
        text(
            MARGIN,
            28.0,
            "title",
            "CPU time per message, echobeat = 1: longer bars cost more"
        ),
        legend(&servers),
        axis(bottom),
    )
}

/// The servers that echobeat is compared with.
fn others(case: &CaseResults) -> impl Iterator<Item = &Row> {
    case.rows.iter().filter(|row| row.role != Role::Echobeat)
}

fn height(case: &CaseResults) -> f64 {
    (others(case).count() as f64 * BAR).max(LABEL)
}

/// One case: its name, what it costs echobeat, and the bars of the others.
fn group(case: &CaseResults, top: f64) -> String {
    let echobeat = case.echobeat().unwrap_or(f64::NAN);
    let middle = top + height(case) / 2.0;
    let mut group = text(MARGIN, middle - 3.0, "case", &case.name);
    group += &text(
        MARGIN,
        middle + 13.0,
        "small",
        &format!("echobeat: {} µs", digits(echobeat)),
    );
    let bars = height(case).min(others(case).count() as f64 * BAR);
    for (place, row) in others(case).enumerate() {
        if let Some(ratio) = case.ratio(row, Role::Echobeat) {
            let y = middle - bars / 2.0 + place as f64 * BAR;
            group += &bar(y, ratio, &class(row, place));
        }
    }
    group
}

fn bar(y: f64, ratio: f64, class: &str) -> String {
    let width = ratio.min(LONGEST) * UNIT;
    let (height, end) = (BAR - 2.0, LEFT + width);
    let mut bar = format!(
        "<rect class=\"{class}\" x=\"{LEFT}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height}\"/>\n"
    );
    if ratio > LONGEST {
        let (x, bottom) = (end - 14.0, y + height);
        bar += &format!(
            "<path class=\"cut\" d=\"M{x:.1} {bottom:.1}l5 -{height}h4l-5 {height}z\"/>\n"
        );
    }
    bar + &text(end + 5.0, y + 9.5, "small", &digits(ratio))
}

fn legend(servers: &[&Row]) -> String {
    let mut legend = String::new();
    let mut x = MARGIN;
    for (place, row) in servers.iter().enumerate() {
        let class = class(row, place);
        legend += &format!(
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"42\" width=\"12\" height=\"12\" rx=\"2\"/>\n"
        );
        legend += &text(x + 17.0, 52.5, "legend", &row.server);
        x += 42.0 + 7.0 * row.server.chars().count() as f64;
    }
    let explained = "Message × in flight × connections. Floor: a plain TCP echo of the same bytes.";
    legend + &text(MARGIN, 74.0, "small", explained)
}

fn axis(bottom: f64) -> String {
    let mut axis = String::new();
    let top = TOP - 8.0;
    for tick in 0..=LONGEST as u32 {
        let x = LEFT + f64::from(tick) * UNIT;
        let class = if tick == 1 { "one" } else { "grid" };
        axis += &format!("<path class=\"{class}\" d=\"M{x} {top}V{bottom}\"/>\n");
        axis += &text(x - 3.5, bottom + 16.0, "small", &tick.to_string());
    }
    axis + &text(LEFT + UNIT - 24.0, bottom + 30.0, "small", "echobeat")
}

fn class(row: &Row, place: usize) -> String {
    match row.role {
        Role::Floor => "floor".to_owned(),
        _ => format!("s{}", place % COLOURS.len()),
    }
}

fn text(x: f64, y: f64, class: &str, content: &str) -> String {
    let content = content.replace('&', "&amp;").replace('<', "&lt;");
    format!("<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{content}</text>\n")
}

fn digits(value: f64) -> String {
    match value {
        ..1.0 => format!("{value:.2}"),
        1.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// The picture follows the reader's preference for light or dark.
fn style() -> String {
    let mut light = String::new();
    let mut dark = String::new();
    let floor = [("floor".to_owned(), FLOOR)];
    let servers = COLOURS
        .iter()
        .enumerate()
        .map(|(i, pair)| (format!("s{i}"), *pair));
    for (class, (by_day, by_night)) in servers.chain(floor) {
        light += &format!(".{class}{{fill:{by_day}}}");
        dark += &format!(".{class}{{fill:{by_night}}}");
    }
    format!(
        "text{{font-family:system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;fill:#1f2328}}\
         .title{{font-size:17px;font-weight:600}}.case{{font-size:13px;font-weight:600}}\
         .legend{{font-size:13px}}\
         .small{{font-size:11px;fill:#59636e;stroke:#fff;stroke-width:3px;paint-order:stroke}}\
         .paper,.cut{{fill:#fff}}.grid{{stroke:#d1d9e0}}.one{{stroke:#1f2328}}{light}\n\
         @media (prefers-color-scheme:dark){{text{{fill:#f0f6fc}}.small{{fill:#9198a1;stroke:#0d1117}}\
         .paper,.cut{{fill:#0d1117}}.grid{{stroke:#3d444d}}.one{{stroke:#f0f6fc}}{dark}}}\n"
    )
}
