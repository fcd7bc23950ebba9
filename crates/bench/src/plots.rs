//! SVG plots: bars that compare contenders, lines that show how something grows; both over powers of ten.
//!
//! Rectangles, lines and words are all that is needed: written as they are, without a library for plots.
use crate::tables::number;
use std::fmt::Write as _;

const WIDTH: f64 = 760.0;
/// Colours that people with any colour vision tell apart (Okabe and Ito); ours is the first.
const COLOURS: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#6e6e6e"];
const OURS: &str = "#0072b2";
const OTHERS: &str = "#8a8a8a";

/// One bar: what, how much, from least to greatest.
pub(crate) struct Bar {
    pub(crate) label: String,
    pub(crate) value: f64,
    pub(crate) least: f64,
    pub(crate) greatest: f64,
    /// Ours stands out.
    pub(crate) ours: bool,
}

/// Points of one line.
pub(crate) struct Line {
    pub(crate) label: String,
    pub(crate) points: Vec<(f64, f64)>,
}

/// A drawing under way. Writing to a string does not fail.
struct Drawing(String);

#[derive(Clone, Copy)]
enum Anchor {
    Start,
    Middle,
    End,
}

impl Drawing {
    fn new(height: f64) -> Self {
        let mut text = String::new();
        let _ = write!(
            text,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
             height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
        );
        Self(text)
    }

    fn words(&mut self, x: f64, y: f64, anchor: Anchor, size: u32, words: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let words = words.replace('&', "&amp;").replace('<', "&lt;");
        let _ = writeln!(
            self.0,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"{size}\">{words}</text>"
        );
    }

    fn rectangle(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), colour: &str) {
        let _ = writeln!(
            self.0,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{colour}\"/>"
        );
    }

    fn line(&mut self, points: &[(f64, f64)], colour: &str, width: f64) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(
            self.0,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\"/>",
            points.join(" ")
        );
    }

    fn dot(&mut self, (x, y): (f64, f64), colour: &str) {
        let _ = writeln!(self.0, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>");
    }

    fn finish(mut self) -> String {
        self.0 += "</svg>\n";
        self.0
    }
}

/// A scale of powers of ten from `from` to `to`, drawn between two places.
#[derive(Clone, Copy)]
struct Scale {
    from: f64,
    to: f64,
    start: f64,
    end: f64,
}

impl Scale {
    fn place(&self, value: f64) -> f64 {
        let share = (value.clamp(self.from, self.to) / self.from).log10() / (self.to / self.from).log10();
        self.start + share * (self.end - self.start)
    }

    /// 1, 2 and 5 times the powers of ten in it; only the powers where it is long.
    fn ticks(&self) -> Vec<f64> {
        let long = self.to / self.from > 300.0;
        #[allow(clippy::cast_possible_truncation, reason = "exponents of figures that are printed")]
        let exponents = self.from.log10().floor() as i32..=self.to.log10().ceil() as i32;
        let steps: &[f64] = if long { &[1.0] } else { &[1.0, 2.0, 5.0] };
        exponents
            .flat_map(|e| steps.iter().map(move |step| step * 10_f64.powi(e)))
            .filter(|tick| (self.from..=self.to).contains(tick))
            .collect()
    }
}

/// Horizontal bars in groups, each group with a heading. `digits` after the point.
pub(crate) fn bars(title: &str, digits: usize, groups: &[(String, Vec<Bar>)]) -> String {
    const ROW: f64 = 20.0;
    const LEFT: f64 = 190.0;
    let all = || groups.iter().flat_map(|(_, bars)| bars).map(|bar| bar.value).filter(|v| *v > 0.0);
    let least = all().fold(f64::INFINITY, f64::min);
    let from = if least.is_finite() { 10_f64.powf((least / 2.0).log10().floor()) } else { 1.0 };
    let most = groups.iter().flat_map(|(_, bars)| bars).map(|bar| bar.greatest).fold(0.0, f64::max);
    let scale = Scale { from, to: most.max(from * 10.0), start: LEFT, end: 650.0 };
    let rows: usize = groups.iter().map(|(_, bars)| bars.len() + 1).sum();
    let mut drawing = Drawing::new(40.0 + ROW * rows as f64);
    drawing.words(12.0, 22.0, Anchor::Start, 16, title);
    let mut y = 50.0;
    for (heading, bars) in groups {
        drawing.words(12.0, y, Anchor::Start, 13, heading);
        y += ROW;
        for bar in bars {
            drawing.words(LEFT - 8.0, y, Anchor::End, 12, &bar.label);
            let end = scale.place(bar.value).max(LEFT + 1.0);
            let colour = if bar.ours { OURS } else { OTHERS };
            drawing.rectangle((LEFT, y - 11.0), (end - LEFT, 14.0), colour);
            let (from, to) = (scale.place(bar.least), scale.place(bar.greatest));
            drawing.line(&[(from, y - 4.0), (to, y - 4.0)], "#000", 1.0);
            drawing.words(to.max(end) + 6.0, y, Anchor::Start, 12, &number(bar.value, digits));
            y += ROW;
        }
    }
    drawing.finish()
}

/// Lines over two scales, with a legend.
pub(crate) fn lines(title: &str, x: &str, y: &str, lines: &[Line]) -> String {
    let points = || lines.iter().flat_map(|line| &line.points).filter(|(x, y)| *x > 0.0 && *y > 0.0);
    let range = |values: &mut dyn Iterator<Item = f64>| {
        let (least, most) = values.fold((f64::INFINITY, 0.0_f64), |(a, b), v| (a.min(v), b.max(v)));
        if least.is_finite() { (least / 1.3, most * 1.3) } else { (1.0, 10.0) }
    };
    let (from, to) = range(&mut points().map(|(x, _)| *x));
    let across = Scale { from, to, start: 90.0, end: 540.0 };
    let (from, to) = range(&mut points().map(|(_, y)| *y));
    let up = Scale { from, to, start: 320.0, end: 40.0 };
    let mut drawing = Drawing::new(370.0);
    drawing.words(12.0, 22.0, Anchor::Start, 16, title);
    let digits = |tick: f64| if tick < 1.0 { 2 } else { 0 };
    for tick in up.ticks() {
        let at = up.place(tick);
        drawing.line(&[(across.start, at), (across.end, at)], "#ddd", 1.0);
        drawing.words(across.start - 6.0, at + 4.0, Anchor::End, 12, &number(tick, digits(tick)));
    }
    // the values that were measured, rather than round ones between
    let mut measured: Vec<f64> = points().map(|(x, _)| *x).collect();
    measured.sort_by(f64::total_cmp);
    measured.dedup();
    for value in measured {
        let at = across.place(value);
        drawing.line(&[(at, up.start), (at, up.start + 5.0)], "#000", 1.0);
        drawing.words(at, up.start + 20.0, Anchor::Middle, 12, &number(value, 0));
    }
    let frame = [(across.start, up.end), (across.start, up.start), (across.end, up.start)];
    drawing.line(&frame, "#000", 1.0);
    drawing.words((across.start + across.end) / 2.0, up.start + 42.0, Anchor::Middle, 12, x);
    drawing.words(across.start - 78.0, up.end - 6.0, Anchor::Start, 12, y);
    for (i, (line, colour)) in lines.iter().zip(COLOURS.iter().cycle()).enumerate() {
        let places: Vec<(f64, f64)> =
            line.points.iter().map(|(x, y)| (across.place(*x), up.place(*y))).collect();
        drawing.line(&places, colour, 2.0);
        for place in places {
            drawing.dot(place, colour);
        }
        let at = 50.0 + 20.0 * i as f64;
        drawing.line(&[(556.0, at), (576.0, at)], colour, 2.0);
        drawing.words(582.0, at + 4.0, Anchor::Start, 12, &line.label);
    }
    drawing.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(label: &str, value: f64) -> Bar {
        let (label, ours) = (label.to_owned(), label == "cygnet");
        Bar { label, value, least: value / 2.0, greatest: value * 2.0, ours }
    }

    #[test]
    fn bars_are_drawn_with_their_names_and_values() {
        let groups = vec![
            ("a & b".to_owned(), vec![bar("cygnet", 4321.0), bar("other", 20.0)]),
            ("two".to_owned(), vec![bar("cygnet", 0.0)]),
        ];
        let svg = bars("Mbit/s", 0, &groups);
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
        for word in ["Mbit/s", ">cygnet<", ">other<", ">4,321<", ">20<", "a &amp; b"] {
            assert!(svg.contains(word), "{word}");
        }
        assert_eq!(svg.matches(OURS).count(), 2);
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
        let nothing = bars("nothing", 0, &[]);
        assert!(!nothing.contains("NaN") && !nothing.contains("inf"));
    }

    #[test]
    fn lines_are_drawn_within_their_frame() {
        let line = |label: &str, by: f64| Line {
            label: label.to_owned(),
            points: [64.0, 512.0, 1372.0].map(|x| (x, x * by)).to_vec(),
        };
        let svg = lines("growth", "bytes", "per second", &[line("cygnet", 3.0), line("other", 2.0)]);
        for word in ["growth", ">other<", "bytes", ">64<", ">1,372<"] {
            assert!(svg.contains(word), "{word}");
        }
        assert_eq!(svg.matches("<circle").count(), 6);
        let nothing = lines("nothing", "x", "y", &[]);
        assert!(!nothing.contains("NaN") && !nothing.contains("inf"));
    }

    #[test]
    fn a_scale_goes_from_end_to_end_by_ratios() {
        let scale = Scale { from: 1.0, to: 100.0, start: 0.0, end: 200.0 };
        let places = [0.1, 1.0, 10.0, 100.0, 1000.0].map(|v| scale.place(v).round());
        assert_eq!(places, [0.0, 0.0, 100.0, 200.0, 200.0]);
        assert_eq!(scale.ticks(), [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]);
        let long = Scale { to: 10_000.0, ..scale };
        assert_eq!(long.ticks(), [1.0, 10.0, 100.0, 1000.0, 10_000.0]);
    }
}
