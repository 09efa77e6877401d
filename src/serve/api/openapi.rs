//! The description of the API, in the form of OpenAPI 3.1.

use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::{CACHE_CONTROL, HeaderValue};

use super::query::Query;
use crate::http::Refusal;
use crate::http::response::{self, Answer};

const DESCRIPTION: &str = include_str!("openapi.json");

/// Text that stands for the version.
const VERSION: &str = "CARGO_PKG_VERSION";

/// Answers with the description.
pub(super) fn describe(query: &str) -> Result<Answer, Refusal> {
    Query::parse(query, &[])?;
    let body = Bytes::from(DESCRIPTION.replacen(VERSION, env!("CARGO_PKG_VERSION"), 1));
    let mut answer = response::answer(StatusCode::OK, "application/json", body);
    let headers = answer.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use serde_json::Value;

    use super::super::routes::PATTERNS;
    use super::*;

    /// Methods of each path.
    type Methods = BTreeMap<String, BTreeSet<String>>;

    fn description() -> Value {
        let answer = describe("").unwrap();
        serde_json::from_slice(answer.body()).expect("JSON")
    }

    /// A pattern, with any name in braces.
    fn unnamed(pattern: &str) -> String {
        let segments = pattern.split('/').map(|segment| match segment {
            name if name.starts_with('{') => "{}",
            literal => literal,
        });
        segments.collect::<Vec<_>>().join("/")
    }

    fn described() -> Methods {
        let description = description();
        let paths = description["paths"].as_object().expect("paths").iter();
        let methods = paths.map(|(path, item)| {
            let methods = item.as_object().expect("a path item").keys();
            let methods = methods.filter(|key| !["parameters", "summary"].contains(&key.as_str()));
            (
                unnamed(path),
                methods.map(|method| method.to_uppercase()).collect(),
            )
        });
        methods.collect()
    }

    fn routed() -> Methods {
        let methods = PATTERNS.iter().map(|(pattern, route)| {
            let methods = route.methods().split(", ");
            // Where there is GET there is HEAD, as RFC 9110 has it, and nobody describes it.
            let methods = methods.filter(|method| *method != "HEAD");
            (unnamed(pattern), methods.map(str::to_owned).collect())
        });
        methods.collect()
    }

    #[test]
    fn every_route_and_every_method_is_described_and_no_others() {
        let (mut described, routed) = (described(), routed());
        if !routed.contains_key("/events") {
            described.remove("/events").expect("it is described ahead");
        }
        assert_eq!(described, routed);
    }

    #[test]
    fn its_version_is_that_of_the_crate() {
        assert_eq!(description()["info"]["version"], env!("CARGO_PKG_VERSION"));
    }

    #[test]
    fn every_reference_leads_to_something_and_every_part_is_referred_to() {
        let description = description();
        let mut references = BTreeSet::new();
        collect_references(&description, &mut references);
        for reference in &references {
            let pointer = reference.strip_prefix('#').expect("a local reference");
            assert!(description.pointer(pointer).is_some(), "{reference}");
        }
        let components = description["components"].as_object().expect("components");
        for (kind, parts) in components
            .iter()
            .filter(|(kind, _)| *kind != "securitySchemes")
        {
            for name in parts.as_object().expect("parts").keys() {
                let reference = format!("#/components/{kind}/{name}");
                assert!(references.contains(&reference), "{reference}");
            }
        }
    }

    fn collect_references(value: &Value, references: &mut BTreeSet<String>) {
        match value {
            Value::Object(object) => {
                if let Some(reference) = object.get("$ref") {
                    references.insert(reference.as_str().expect("a reference").to_owned());
                }
                object
                    .values()
                    .for_each(|it| collect_references(it, references));
            }
            Value::Array(array) => array
                .iter()
                .for_each(|it| collect_references(it, references)),
            _ => {}
        }
    }
}
