"""One hundred countries: capital, continent, currency."""

from dataclasses import dataclass

TABLE = """\
Afghanistan|Kabul|Asia|afghani
Albania|Tirana|Europe|lek
Algeria|Algiers|Africa|dinar
Angola|Luanda|Africa|kwanza
Argentina|Buenos Aires|South America|peso
Armenia|Yerevan|Asia|dram
Australia|Canberra|Oceania|dollar
Austria|Vienna|Europe|euro
Azerbaijan|Baku|Asia|manat
Bangladesh|Dhaka|Asia|taka
Belarus|Minsk|Europe|rouble
Belgium|Brussels|Europe|euro
Bhutan|Thimphu|Asia|ngultrum
Botswana|Gaborone|Africa|pula
Brazil|Brasilia|South America|real
Bulgaria|Sofia|Europe|euro
Cambodia|Phnom Penh|Asia|riel
Cameroon|Yaounde|Africa|franc
Canada|Ottawa|North America|dollar
Chad|Ndjamena|Africa|franc
Chile|Santiago|South America|peso
China|Beijing|Asia|yuan
Colombia|Bogota|South America|peso
Costa Rica|San Jose|North America|colon
Croatia|Zagreb|Europe|euro
Cuba|Havana|North America|peso
Cyprus|Nicosia|Europe|euro
Denmark|Copenhagen|Europe|krone
Ecuador|Quito|South America|dollar
Egypt|Cairo|Africa|pound
Estonia|Tallinn|Europe|euro
Ethiopia|Addis Ababa|Africa|birr
Fiji|Suva|Oceania|dollar
Finland|Helsinki|Europe|euro
France|Paris|Europe|euro
Georgia|Tbilisi|Asia|lari
Germany|Berlin|Europe|euro
Ghana|Accra|Africa|cedi
Greece|Athens|Europe|euro
Guatemala|Guatemala City|North America|quetzal
Guyana|Georgetown|South America|dollar
Haiti|Port-au-Prince|North America|gourde
Honduras|Tegucigalpa|North America|lempira
Hungary|Budapest|Europe|forint
Iceland|Reykjavik|Europe|krona
India|New Delhi|Asia|rupee
Indonesia|Jakarta|Asia|rupiah
Iran|Tehran|Asia|rial
Iraq|Baghdad|Asia|dinar
Ireland|Dublin|Europe|euro
Israel|Jerusalem|Asia|shekel
Italy|Rome|Europe|euro
Jamaica|Kingston|North America|dollar
Japan|Tokyo|Asia|yen
Jordan|Amman|Asia|dinar
Kazakhstan|Astana|Asia|tenge
Kenya|Nairobi|Africa|shilling
Laos|Vientiane|Asia|kip
Latvia|Riga|Europe|euro
Lebanon|Beirut|Asia|pound
Libya|Tripoli|Africa|dinar
Lithuania|Vilnius|Europe|euro
Luxembourg|Luxembourg City|Europe|euro
Madagascar|Antananarivo|Africa|ariary
Malaysia|Kuala Lumpur|Asia|ringgit
Mali|Bamako|Africa|franc
Malta|Valletta|Europe|euro
Mexico|Mexico City|North America|peso
Mongolia|Ulaanbaatar|Asia|tugrik
Morocco|Rabat|Africa|dirham
Mozambique|Maputo|Africa|metical
Namibia|Windhoek|Africa|dollar
Nepal|Kathmandu|Asia|rupee
New Zealand|Wellington|Oceania|dollar
Nicaragua|Managua|North America|cordoba
Nigeria|Abuja|Africa|naira
Norway|Oslo|Europe|krone
Pakistan|Islamabad|Asia|rupee
Panama|Panama City|North America|balboa
Paraguay|Asuncion|South America|guarani
Peru|Lima|South America|sol
Poland|Warsaw|Europe|zloty
Portugal|Lisbon|Europe|euro
Romania|Bucharest|Europe|leu
Russia|Moscow|Europe|rouble
Rwanda|Kigali|Africa|franc
Senegal|Dakar|Africa|franc
Serbia|Belgrade|Europe|dinar
South Korea|Seoul|Asia|won
Spain|Madrid|Europe|euro
Sudan|Khartoum|Africa|pound
Sweden|Stockholm|Europe|krona
Switzerland|Bern|Europe|franc
Thailand|Bangkok|Asia|baht
Tunisia|Tunis|Africa|dinar
Turkey|Ankara|Asia|lira
Ukraine|Kyiv|Europe|hryvnia
Uruguay|Montevideo|South America|peso
Vietnam|Hanoi|Asia|dong
Zambia|Lusaka|Africa|kwacha
"""


@dataclass(frozen=True, slots=True)
class Country:
    name: str
    capital: str
    continent: str
    currency: str


COUNTRIES = tuple(Country(*line.split("|")) for line in TABLE.splitlines())
