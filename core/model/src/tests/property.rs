//! What holds for every document and every text.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use proptest::prelude::*;

use super::any;
use crate::problem::{Code, render};
use crate::schema::EXAMPLE;
use crate::value::{
    Cidr, HeaderName, HeaderText, HostPattern, ListenAddress, LocationTemplate, Method, Name,
    Pattern, Period, ServerAddress, StatusRange, UrlPath,
};
use crate::{Config, Format, parse, read, to_toml, validate};

fn survives_printing<T>(text: &str)
where
    T: FromStr<Err: Debug> + Display + PartialEq + Debug,
{
    let value: T = text.parse().unwrap();
    let printed = value.to_string();
    assert_eq!(printed.parse::<T>().unwrap(), value);
    assert_eq!(printed.parse::<T>().unwrap().to_string(), printed);
}

macro_rules! values_survive_printing {
    ($($test:ident: $type:ty, $format:literal;)*) => {$(
        proptest! {
            #[test]
            fn $test(text in any::text($format)) {
                survives_printing::<$type>(&text);
            }
        }
    )*};
}
values_survive_printing! {
    a_name_survives_printing: Name, "lb-name";
    a_period_survives_printing: Period, "lb-period";
    a_network_survives_printing: Cidr, "lb-cidr";
    a_listen_address_survives_printing: ListenAddress, "lb-listen-address";
    a_server_address_survives_printing: ServerAddress, "lb-server-address";
    a_header_name_survives_printing: HeaderName, "lb-header-name";
    a_header_text_survives_printing: HeaderText, "lb-header-text";
    a_host_pattern_survives_printing: HostPattern, "lb-host-pattern";
    a_location_survives_printing: LocationTemplate, "lb-location";
    a_method_survives_printing: Method, "lb-method";
    a_path_survives_printing: UrlPath, "lb-path";
    a_pattern_survives_printing: Pattern, "lb-pattern";
    a_status_range_survives_printing: StatusRange, "lb-status-range";
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_document_survives_printing(document in any::document()) {
        let config: Config = serde_json::from_value(document).unwrap();
        let printed = to_toml(&config);
        prop_assert_eq!(&parse(&printed, Format::Toml).unwrap(), &config, "{}", printed);
        let json = serde_json::to_string(&config).unwrap();
        prop_assert_eq!(parse(&json, Format::Json).unwrap(), config);
        prop_assert_eq!(to_toml(&parse(&printed, Format::Toml).unwrap()), printed);
    }

    #[test]
    fn a_document_that_fits_the_schema_is_checked_without_panic(document in any::document()) {
        let config: Config = serde_json::from_value(document).unwrap();
        if let Err(problems) = validate(config) {
            prop_assert!(problems.iter().any(crate::Problem::is_error));
        }
    }

    #[test]
    fn no_mistake_is_left_for_serde_to_find(document in any::broken_document()) {
        let text = document.to_string();
        let sound = serde_json::from_str::<Config>(&text);
        match parse(&text, Format::Json) {
            Ok(config) => prop_assert_eq!(config, sound.unwrap()),
            Err(problems) => {
                let left = problems.iter().any(|problem| problem.code == Code::Unreadable);
                prop_assert!(!left, "{:?}\n{}", problems, text);
            }
        }
        // What follows is checked as far as it goes, and every problem can be shown.
        if let Err(problems) = read(&text, Format::Json) {
            render(&problems, "lb.json", Some(&text));
        }
    }

    #[test]
    fn text_of_any_kind_is_read_without_panic(text in any::<String>()) {
        for format in [Format::Toml, Format::Json] {
            if let Err(problems) = read(&text, format) {
                render(&problems, "x", Some(&text));
            }
        }
    }

    #[test]
    fn a_document_with_a_piece_torn_out_or_put_in_is_read_without_panic(
        at in 0..EXAMPLE.len(),
        length in 0_usize..200,
        piece in r#"[\[\]{}="'\\.#, \n0-9a-zé]{0,8}"#,
    ) {
        let mut text = EXAMPLE.to_owned();
        text.replace_range(at..(at + length).min(EXAMPLE.len()), &piece);
        if let Err(problems) = read(&text, Format::Toml) {
            let left = problems.iter().any(|problem| problem.code == Code::Unreadable);
            prop_assert!(!left, "{:?}", problems);
            render(&problems, "lb.toml", Some(&text));
        }
    }
}
