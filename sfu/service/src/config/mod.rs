//! How a program is configured: one documented structure, read from a TOML file, then the environment
//! (`PLENUM_HTTP__LISTEN` is `http.listen`), then flags (`--set http.listen=…`). Owns reading, and the
//! sections that every program has. Must not know what else may be set.

mod external;
mod given;
mod mistake;
mod sections;
mod setting;
mod value;

use std::{net::IpAddr, path::Path};

use toml::Table;

use given::{Variable, variable};

#[doc(hidden)]
pub use external::paths;
pub use external::{Explained, print as print_external, read as read_external};
pub use given::Given;
pub use mistake::{ConfigError, Key, Mistake, Mistakes};
pub use sections::{HttpConfig, LogConfig, TelemetryConfig};
pub use setting::{Setting, Value, print_section, refuse_unknown};
pub use value::{ByteSize, LogFormat, Secret, parse_duration};

/// Variables or flags: pairs of a name and its text.
pub type Pairs = Vec<(String, String)>;

/// The configuration of a program.
pub trait Configuration: Setting + Default {
    /// What stands at the top of the printed defaults, of the program `name`.
    const PROGRAM: &'static str;

    /// Notes what one setting alone cannot show.
    fn check(&self, mistakes: &mut Mistakes);

    /// Reads and checks a configuration. `environment` are all variables of the process; `flags` are
    /// pairs of a setting's path and its text.
    ///
    /// # Errors
    /// All mistakes at once, each with the path of its key.
    fn load(file: Option<&Path>, environment: Pairs, flags: Pairs) -> Result<Self, ConfigError> {
        let text = file.map(|path| {
            std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
                path: path.to_owned(),
                source,
            })
        });
        Self::read_text(
            text.transpose()?.as_deref().unwrap_or_default(),
            environment,
            flags,
        )
    }

    /// As [`load`](Self::load), of the text of a file.
    ///
    /// # Errors
    /// All mistakes at once, each with the path of its key.
    fn read_text(file: &str, environment: Pairs, flags: Pairs) -> Result<Self, ConfigError> {
        let mut given = Given::from_table(file.parse::<Table>().map_err(ConfigError::NotToml)?);
        for (name, text) in environment {
            if let Variable::Path(path) = variable(&name) {
                given.set(&path, text);
            }
        }
        for (path, text) in flags {
            let path: Vec<String> = path.split('.').map(str::to_owned).collect();
            given.set(&path, text);
        }
        let mut config = Self::default();
        let mut mistakes = Mistakes::default();
        Setting::read(&mut config, given, &Key::root(), &mut mistakes);
        config.check(&mut mistakes);
        mistakes.none().map(|()| config)
    }

    /// Checks what one setting alone cannot show, for configurations that were not read from text.
    ///
    /// # Errors
    /// All mistakes at once.
    fn validate(&self) -> Result<(), ConfigError> {
        let mut mistakes = Mistakes::default();
        self.check(&mut mistakes);
        mistakes.none()
    }

    /// The defaults as TOML, each setting with its explanation.
    fn default_toml() -> String {
        let about = format!(
            " Configuration of {}. Every setting can also be given as an environment variable\n\
             # (PLENUM_HTTP__LISTEN is http.listen) or a flag (--set http.listen=…); a flag goes\n\
             # over a variable, and a variable over this file.",
            Self::PROGRAM
        );
        let mut out = String::new();
        Self::default().print(&Key::root(), &[&about], &mut out);
        out.trim_start().to_owned()
    }
}

/// Whether an address can be reached from this machine alone.
pub fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}
