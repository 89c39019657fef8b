use super::*;

fn names(primary: &str, replicas: Option<&str>) -> Vec<String> {
    let config = Config::from_urls(primary, replicas).unwrap();
    config.addresses().map(str::to_owned).collect()
}

#[test]
fn servers_come_from_one_url_or_two_or_lists_or_several_hosts() {
    let cases: [(&str, Option<&str>, &[&str]); 7] = [
        ("postgres://u:p@a/d", None, &["a:5432"]),
        ("postgresql://u:p@a:1/d", Some("postgres://u:p@b:2/d"), &["a:1", "b:2"]),
        (
            "postgres://u@a/d",
            Some("postgres://u@b/d, postgresql://u@c:7/d,"),
            &["a:5432", "b:5432", "c:7"],
        ),
        (
            "postgres://u:p@a:1,b:2,c:3/d?target_session_attrs=read-write",
            None,
            &["a:1", "b:2", "c:3"],
        ),
        (
            "postgres://u@a:1,b:2/d",
            Some("postgres://u@b:2,c:3/d,postgres://u@a:1/d"),
            &["a:1", "b:2", "c:3"],
        ),
        ("host=a,b port=9 user=u", None, &["a:9", "b:9"]),
        ("postgres://u@[::1]:6/d", None, &["[::1]:6"]),
    ];
    for (primary, replicas, expected) in cases {
        assert_eq!(names(primary, replicas), expected, "{primary} {replicas:?}");
    }
}

#[test]
fn every_host_of_a_url_keeps_what_the_url_says() {
    let url = "postgres://app:se%40cret@a:1,b:2/shop?connect_timeout=3&application_name=web\
               &target_session_attrs=read-write&keepalives=0&options=-c%20work_mem%3D8MB";
    let config = Config::from_urls(url, None).unwrap();
    for (address, port) in config.addresses.iter().zip([1, 2]) {
        let config = &address.config;
        assert_eq!(config.get_ports(), [port]);
        assert_eq!(config.get_hosts().len(), 1);
        assert_eq!(config.get_user(), Some("app"));
        assert_eq!(config.get_password(), Some("se@cret".as_bytes()));
        assert_eq!(config.get_dbname(), Some("shop"));
        assert_eq!(config.get_application_name(), Some("web"));
        assert_eq!(config.get_options(), Some("-c work_mem=8MB"));
        assert_eq!(config.get_connect_timeout(), Some(&Duration::from_secs(3)));
        assert!(!config.get_keepalives());
        assert_eq!(config.get_target_session_attrs(), TargetSessionAttrs::Any);
    }
}

#[test]
fn variables_are_read_and_wrong_ones_are_named_without_their_text() {
    let read = |variables: &[(&str, &str)]| {
        let variables = variables.to_vec();
        Config::from_variables(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    };
    assert_eq!(read(&[]).unwrap_err(), ConfigError::Missing);
    assert_eq!(read(&[(PRIMARY, " ")]).unwrap_err(), ConfigError::Missing);
    let url = (PRIMARY, "postgres://u:p@a/d");
    assert_eq!(read(&[url, (REPLICAS, "")]).unwrap().addresses().count(), 1);
    assert_eq!(read(&[url, (CONNECTIONS, "3")]).unwrap().max_connections, 3);
    for wrong in ["0", "-1", "many"] {
        assert_eq!(
            read(&[url, (CONNECTIONS, wrong)]).unwrap_err(),
            ConfigError::Connections
        );
    }
    // A question mark in a password splits it, and an at sign moves its end into the host.
    for wrong in [
        "postgres://u:hid?den@a/d",
        "postgres://u:hid@den:x@a/d",
        "hidden",
        "postgres:///d?hidden",
    ] {
        let error = read(&[url, (REPLICAS, &format!("postgres://u@b/d,{wrong}"))]);
        let Err(error) = error else { continue };
        assert!(!format!("{error} {error:?}").contains("hid"), "{error}");
    }
    let error = read(&[url, (REPLICAS, "postgres://u@b/d,postgres://u@c:port/d")]).unwrap_err();
    let expected = ConfigError::Url {
        variable: REPLICAS,
        number: 2,
    };
    assert_eq!(error, expected);
}

#[test]
fn no_debug_output_has_the_password() {
    let url = "postgres://app:hidden@a,b/d";
    let config = Config::from_urls(url, Some(url)).unwrap();
    let text = format!("{config:?}");
    assert!(text.contains("a:5432") && !text.contains("hidden"), "{text}");
}
