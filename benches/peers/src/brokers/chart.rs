//! Charts as SVG, drawn by hand. Colours are of a middle brightness, for light and dark pages alike;
//! text is clearer where it is known which of them the reader has chosen.

use std::fmt::Write as _;

/// One case: a bar for each broker, on an axis of its own.
pub struct Panel {
    pub title: String,
    pub subtitle: String,
    pub bars: Vec<Bars>,
}

pub struct Bars {
    pub name: String,
    pub ours: bool,
    /// No broker: may be longer than there is room, and is cut off then.
    pub floor: bool,
    pub value: f64,
    pub label: String,
}

/// One curve: what was measured at each place, several times.
pub struct Curve {
    pub title: String,
    /// Where on the axis, and all that was measured there.
    pub points: Vec<(f64, Vec<f64>)>,
}

const STYLE: &str = "<style>
text{font:12px system-ui,-apple-system,'Segoe UI',sans-serif;fill:#768390}
.head{font-size:16px;font-weight:600}.title{font-weight:600}
.line{stroke:#8c959f;stroke-opacity:.35}.ours{fill:#2f81f7}.theirs{fill:#8c959f}.floor{fill:#8c959f;fill-opacity:.4}.band{fill:#2f81f7;fill-opacity:.13}
.curve{fill:none;stroke:#2f81f7;stroke-width:2}.least{fill:none;stroke:#2f81f7;stroke-width:1;stroke-dasharray:4 3}
@media (prefers-color-scheme:light){text{fill:#57606a}.head,.title{fill:#24292f}}
@media (prefers-color-scheme:dark){text{fill:#9ea7b3}.head,.title{fill:#e6edf3}}
</style>
";
const WIDTH: f64 = 460.0;
const GAP: f64 = 40.0;
const MARGIN: f64 = 20.0;
/// Where bars begin: names are to the left of it.
const NAMES: f64 = 150.0;
/// For a bar's figure, to the right of the longest.
const FIGURES: f64 = 70.0;
const BAR: f64 = 18.0;
const TOP: f64 = 70.0;

/// Horizontal bars, grouped by case, in two columns.
pub fn bars(title: &str, about: &str, panels: &[Panel]) -> String {
    let mut body = String::new();
    let mut bottoms = [TOP, TOP];
    for panel in panels {
        // Each goes to where there is more room.
        let column = usize::from(bottoms[1] < bottoms[0]);
        let x = MARGIN + column as f64 * (WIDTH + GAP);
        bottoms[column] += group(&mut body, panel, x, bottoms[column]) + 26.0;
    }
    page(title, about, bottoms[0].max(bottoms[1]), &body)
}

/// Draws a group at this place; returns its height.
fn group(body: &mut String, panel: &Panel, x: f64, y: f64) -> f64 {
    text(body, x, y, "title", "start", &panel.title);
    text(body, x + 80.0, y, "", "start", &panel.subtitle);
    let brokers = panel.bars.iter().filter(|bar| !bar.floor);
    let most = brokers.map(|bar| bar.value).fold(0.0, f64::max);
    let step = step(most);
    let scale = (WIDTH - NAMES - FIGURES) / most.max(1.0);
    let (top, height) = (y + 10.0, panel.bars.len() as f64 * BAR);
    let mut tick = 0.0;
    while tick <= most {
        let at = x + NAMES + tick * scale;
        line(body, [at, top, at, top + height + 4.0]);
        text(body, at, top + height + 17.0, "", "middle", &short(tick));
        tick += step;
    }
    for (place, bar) in panel.bars.iter().enumerate() {
        let at = top + place as f64 * BAR;
        let long = (bar.value.min(most) * scale).max(1.0);
        let class = match bar {
            Bars { ours: true, .. } => "ours",
            Bars { floor: true, .. } => "floor",
            _ => "theirs",
        };
        text(body, x + NAMES - 6.0, at + 13.0, "", "end", &bar.name);
        let _ = writeln!(
            body,
            r#"<rect class="{class}" x="{:.1}" y="{:.1}" width="{long:.1}" height="{:.1}" rx="2"/>"#,
            x + NAMES,
            at + 2.0,
            BAR - 4.0,
        );
        let arrow = if bar.value > most { "→ " } else { "" };
        let label = format!("{arrow}{}", bar.label);
        text(body, x + NAMES + long + 5.0, at + 13.0, "", "start", &label);
    }
    height + 34.0
}

/// Curves with all that was measured as dots, the median as a line, the least as a dashed one, and
/// a band of 10 % above and below `base`. Places are as far from each other as their neighbours.
pub fn curves(title: &str, about: &str, base: f64, curves: &[Curve]) -> String {
    let mut body = String::new();
    let tall = 250.0;
    for (place, curve) in curves.iter().enumerate() {
        let x = MARGIN + (place % 2) as f64 * (WIDTH + GAP);
        let y = TOP + (place / 2) as f64 * (tall + 60.0);
        plot(&mut body, curve, base, [x, y, tall]);
    }
    let rows = curves.len().div_ceil(2) as f64;
    page(title, about, TOP + rows * (tall + 60.0), &body)
}

fn plot(body: &mut String, curve: &Curve, base: f64, [x, y, tall]: [f64; 3]) {
    text(body, x, y, "title", "start", &curve.title);
    let all = curve.points.iter().flat_map(|(_, values)| values);
    let most = all.copied().fold(base, f64::max) * 1.15;
    let (left, top, bottom) = (x + 46.0, y + 14.0, y + tall);
    let up = |value: f64| bottom - value / most.max(1e-9) * (bottom - top);
    let gap = (WIDTH - 80.0) / (curve.points.len().max(2) - 1) as f64;
    let right = |place: usize| left + 14.0 + place as f64 * gap;
    let (step, mut tick) = (step(most), 0.0);
    while tick <= most {
        line(body, [left, up(tick), x + WIDTH, up(tick)]);
        text(body, left - 6.0, up(tick) + 4.0, "", "end", &decimal(tick));
        tick += step;
    }
    let summary = |values: &[f64]| {
        let mut values = values.to_vec();
        values.sort_by(f64::total_cmp);
        let median = values.get(values.len() / 2).copied().unwrap_or_default();
        (values.first().copied().unwrap_or_default(), median)
    };
    let _ = writeln!(
        body,
        r#"<rect class="band" x="{left:.1}" y="{:.1}" width="{:.1}" height="{:.1}"/>"#,
        up(base * 1.1),
        x + WIDTH - left,
        up(base * 0.9) - up(base * 1.1),
    );
    let (mut median, mut least) = (String::new(), String::new());
    for (place, (at, values)) in curve.points.iter().enumerate() {
        let (min, middle) = summary(values);
        let _ = write!(median, "{:.1},{:.1} ", right(place), up(middle));
        let _ = write!(least, "{:.1},{:.1} ", right(place), up(min));
        for value in values {
            let _ = writeln!(
                body,
                r#"<circle class="theirs" cx="{:.1}" cy="{:.1}" r="2.5"/>"#,
                right(place),
                up(*value),
            );
        }
        text(body, right(place), bottom + 16.0, "", "middle", &short(*at));
    }
    let _ = writeln!(
        body,
        r#"<polyline class="curve" points="{}"/>"#,
        median.trim()
    );
    let _ = writeln!(
        body,
        r#"<polyline class="least" points="{}"/>"#,
        least.trim()
    );
}

fn page(title: &str, about: &str, height: f64, body: &str) -> String {
    let width = 2.0 * (WIDTH + MARGIN) + GAP;
    let mut out = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0} {height:.0}" width="{width:.0}" height="{height:.0}" role="img">"#
    );
    out += "\n";
    let _ = writeln!(out, "<title>{}</title>", escape(title));
    out += STYLE;
    text(&mut out, MARGIN, 26.0, "head", "start", title);
    text(&mut out, MARGIN, 45.0, "", "start", about);
    out + body + "</svg>\n"
}

fn text(out: &mut String, x: f64, y: f64, class: &str, anchor: &str, words: &str) {
    let class = match class {
        "" => String::new(),
        class => format!(r#" class="{class}""#),
    };
    let _ = writeln!(
        out,
        r#"<text{class} x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{}</text>"#,
        escape(words)
    );
}

fn line(out: &mut String, [x1, y1, x2, y2]: [f64; 4]) {
    let _ = writeln!(
        out,
        r#"<line class="line" x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}"/>"#
    );
}

/// Between ticks: 1, 2 or 5 of some power of ten, so that there are three to six.
fn step(most: f64) -> f64 {
    let rough = most.max(1e-9) / 4.0;
    let power = 10_f64.powf(rough.log10().floor());
    match rough / power {
        part if part < 1.5 => power,
        part if part < 3.5 => 2.0 * power,
        part if part < 7.5 => 5.0 * power,
        _ => 10.0 * power,
    }
}

/// 200, 50k, 1.2M.
fn short(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{}M", decimal(value / 1e6)),
        value if value >= 1e3 => format!("{}k", decimal(value / 1e3)),
        value => decimal(value),
    }
}

fn decimal(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::{Bars, Curve, Panel, bars, curves, escape, short, step};

    #[test]
    fn axes_have_few_round_ticks() {
        for most in [0.7, 3.0, 9.5, 470.0, 88_000.0, 450_000.0] {
            let ticks = most / step(most);
            assert!((2.0..8.0).contains(&ticks), "{most}: {ticks}");
        }
        assert_eq!(step(450_000.0), 100_000.0);
        assert_eq!(short(50_000.0), "50k");
        assert_eq!(short(1_200_000.0), "1.2M");
        assert_eq!(short(0.0), "0");
    }

    #[test]
    fn words_cannot_break_the_page() {
        assert_eq!(escape("a<b & c>"), "a&lt;b &amp; c&gt;");
        let panel = Panel {
            title: "<case>".to_owned(),
            subtitle: String::new(),
            bars: vec![Bars {
                name: "a & b".to_owned(),
                ours: true,
                floor: false,
                value: 0.0,
                label: "0".to_owned(),
            }],
        };
        let page = bars("t", "", &[panel]);
        assert!(page.contains("&lt;case&gt;") && page.contains("a &amp; b"));
        assert!(!page.contains("NaN"));
    }

    #[test]
    fn a_curve_without_points_is_no_disaster() {
        let curve = Curve {
            title: "nothing".to_owned(),
            points: Vec::new(),
        };
        let page = curves("t", "", 1.0, &[curve]);
        assert!(!page.contains("NaN") && !page.contains("inf"));
    }
}
