//! Figures of one run, beside their goals and floors.

use serde::Serialize;

/// What a figure is measured in.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub enum Unit {
    /// Milliseconds.
    #[serde(rename = "ms")]
    Millis,
    /// Bytes.
    #[serde(rename = "B")]
    Bytes,
    /// 10⁶ bytes, as disks and wires count.
    #[serde(rename = "MB")]
    Megabytes,
    /// How often in a second.
    #[serde(rename = "1/s")]
    PerSecond,
    /// Bytes in a second.
    #[serde(rename = "B/s")]
    BytesPerSecond,
    /// Milliseconds of processor time in a second.
    #[serde(rename = "ms/s")]
    Load,
    /// Hundredths.
    #[serde(rename = "%")]
    Percent,
    /// Things.
    #[serde(rename = "")]
    Count,
}

impl Unit {
    /// As it is written.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Millis => "ms",
            Self::Bytes => "B",
            Self::Megabytes => "MB",
            Self::PerSecond => "1/s",
            Self::BytesPerSecond => "B/s",
            Self::Load => "ms/s",
            Self::Percent => "%",
            Self::Count => "",
        }
    }
}

/// One figure over all rounds.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// What was measured.
    pub name: String,
    /// Its unit.
    pub unit: Unit,
    /// The value of each round.
    pub rounds: Vec<f64>,
    /// Their median.
    pub median: f64,
}

/// On which side of its goal a figure should lie.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// Small is good.
    AtMost,
    /// Large is good.
    AtLeast,
}

/// A figure with what it should be.
#[derive(Clone, Debug, Serialize)]
pub struct Goal {
    /// Which figure.
    pub name: String,
    /// The figure's unit.
    pub unit: Unit,
    /// On which side of `goal` it should lie.
    pub bound: Bound,
    /// Where it should be.
    pub goal: f64,
    /// The figure's median.
    pub value: f64,
    /// Whether it is met.
    pub met: bool,
    /// By how many hundredths of the goal it is missed; 0 when it is met.
    pub missed_by_percent: f64,
    /// What nature asks at least, measured in the same rounds: a figure and its median.
    pub floor: Option<Floor>,
}

/// The figure that bounds another one.
#[derive(Clone, Debug, Serialize)]
pub struct Floor {
    /// Its name.
    pub name: String,
    /// Its unit.
    pub unit: Unit,
    /// Its median.
    pub value: f64,
}

/// Everything.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// `kinfolk.budgets/2`.
    pub schema: &'static str,
    /// In the order they were measured.
    pub figures: Vec<Figure>,
    /// The goals that belong to them.
    pub goals: Vec<Goal>,
}

impl Report {
    /// An empty report.
    pub fn new() -> Self {
        Self { schema: "kinfolk.budgets/2", ..Self::default() }
    }

    /// Notes one round's value.
    pub fn note(&mut self, name: &str, unit: Unit, value: f64) {
        let figure = match self.figures.iter_mut().position(|figure| figure.name == name) {
            Some(at) => self.figures.get_mut(at),
            None => {
                self.figures.push(Figure { name: name.into(), unit, rounds: Vec::new(), median: 0.0 });
                self.figures.last_mut()
            }
        };
        if let Some(figure) = figure {
            figure.rounds.push(value);
            figure.median = median(&figure.rounds);
        }
    }

    /// The median of a figure; `None` when it was not measured.
    pub fn median(&self, name: &str) -> Option<f64> {
        self.figure(name).map(|figure| figure.median)
    }

    /// The value of the latest round of a figure.
    pub fn last(&self, name: &str) -> Option<f64> {
        self.figure(name).and_then(|figure| figure.rounds.last().copied())
    }

    /// States where a figure should be, and which other figure is its floor. Of one that was not measured nothing is stated.
    pub fn goal(&mut self, name: &str, bound: Bound, goal: f64, floor: Option<&str>) {
        let Some(Figure { unit, median, .. }) = self.figure(name).cloned() else { return };
        let met = match bound {
            Bound::AtMost => median <= goal,
            Bound::AtLeast => median >= goal,
        };
        let missed_by_percent = if met { 0.0 } else { (median / goal - 1.0).abs() * 100.0 };
        let floor = floor.and_then(|floor| self.figure(floor));
        let floor = floor.map(|floor| Floor { name: floor.name.clone(), unit: floor.unit, value: floor.median });
        self.goals.push(Goal { name: name.into(), unit, bound, goal, value: median, met, missed_by_percent, floor });
    }

    /// What the latest round saw, on stderr: a run that is cut short has told what it knew.
    pub fn print_last(&self) {
        for Figure { name, unit, rounds, .. } in &self.figures {
            let latest = rounds.last().copied().unwrap_or(f64::NAN);
            eprintln!("{name:<66} {:>12} {}", written(latest), unit.symbol());
        }
    }

    /// The report for people.
    pub fn print(&self) {
        println!("{:<66} {:>12} {:<5} rounds", "figure", "median", "");
        for Figure { name, unit, rounds, median } in &self.figures {
            let rounds: Vec<String> = rounds.iter().map(|value| written(*value)).collect();
            println!("{name:<66} {:>12} {:<5} {}", written(*median), unit.symbol(), rounds.join("  "));
        }
        println!("\n{:<66} {:>12} {:>12} {:<5} {:<18} floor", "goal", "goal", "median", "", "");
        for goal in &self.goals {
            let sign = if goal.bound == Bound::AtMost { "≤" } else { "≥" };
            let verdict = if goal.met { "met".into() } else { format!("MISSED by {:.0} %", goal.missed_by_percent) };
            let floor = goal.floor.as_ref().map_or_else(String::new, |floor| {
                format!("{} {} {}", written(floor.value), floor.unit.symbol(), floor.name.trim_start_matches("floor: "))
            });
            let (asked, value) = (format!("{sign} {}", written(goal.goal)), written(goal.value));
            println!("{:<66} {asked:>12} {value:>12} {:<5} {verdict:<18} {floor}", goal.name, goal.unit.symbol());
        }
    }

    fn figure(&self, name: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.name == name)
    }
}

/// With as many digits as mean anything.
fn written(value: f64) -> String {
    if value.abs() >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_judged_by_the_median_of_its_rounds_and_says_by_how_much_it_is_missed() {
        let mut report = Report::new();
        for value in [90.0, 300.0, 120.0] {
            report.note("small is good", Unit::Millis, value);
            report.note("large is good", Unit::Percent, value);
        }
        report.note("the floor", Unit::Millis, 7.0);
        report.goal("small is good", Bound::AtMost, 100.0, Some("the floor"));
        report.goal("large is good", Bound::AtLeast, 100.0, None);
        report.goal("never measured", Bound::AtMost, 1.0, None);
        let [small, large] = report.goals.as_slice() else { panic!("{:?}", report.goals) };
        assert_eq!((small.value, small.met, small.missed_by_percent.round()), (120.0, false, 20.0));
        assert_eq!(small.floor.as_ref().map(|floor| floor.value), Some(7.0));
        assert_eq!((large.value, large.met, large.missed_by_percent), (120.0, true, 0.0));
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json.pointer("/goals/0/unit").and_then(|unit| unit.as_str()), Some("ms"));
        assert_eq!(json.pointer("/goals/1/bound").and_then(|bound| bound.as_str()), Some("at_least"));
    }
}
