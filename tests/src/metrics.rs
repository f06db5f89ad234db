//! What a balancer tells about itself, in the Prometheus text format.

/// One scrape.
#[derive(Clone, Debug)]
pub struct Metrics(pub String);

impl Metrics {
    /// The sum of every sample with this name and these labels.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.samples(name, labels).iter().sum()
    }

    /// Every sample with this name and these labels.
    pub fn samples(&self, name: &str, labels: &[(&str, &str)]) -> Vec<f64> {
        let wanted: Vec<String> = labels.iter().map(|(k, v)| format!("{k}=\"{v}\"")).collect();
        let sample = |line: &str| {
            let (series, value) = line.rsplit_once(' ')?;
            let (found, labels) = series.split_once('{').unwrap_or((series, ""));
            let labels: Vec<&str> = labels.trim_end_matches('}').split(',').collect();
            let fits = found == name && wanted.iter().all(|w| labels.contains(&w.as_str()));
            fits.then(|| value.parse().ok()).flatten()
        };
        self.0
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(sample)
            .collect()
    }

    /// Every name that has a sample.
    pub fn names(&self) -> Vec<&str> {
        let samples = self
            .0
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty());
        let mut names: Vec<&str> = samples
            .filter_map(|line| line.split(['{', ' ']).next())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}
